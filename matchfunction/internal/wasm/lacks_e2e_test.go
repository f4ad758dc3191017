//go:build e2e

package wasm

import "testing"

func lacks(t testing.TB, what string) {
	t.Helper()
	t.Fatal(what)
}
