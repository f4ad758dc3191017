//go:build !e2e

package wasm

import "testing"

// lacks is called with what a machine lacks for the example in C.
func lacks(t testing.TB, what string) {
	t.Helper()
	t.Skip(what)
}
