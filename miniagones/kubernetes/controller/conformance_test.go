package controller_test

import (
	"testing"

	"torikumi/miniagones/internal/conformance"
)

// TestConformance: pods are handed out as processes are.
func TestConformance(t *testing.T) {
	h := newHarness(t, "conformance")
	a := h.controller()
	h.create(changed(t, h.fleet("arena", conformance.ModeServe, 2), `{"spec":{"template":{"spec":{"counters":{"rooms":{"capacity":4}},"lists":{"ids":{"capacity":2}}}}}}`))
	h.buffer("arena", 2)
	conformance.Run(t, conformance.Target{Conn: h.dial(a.GRPC), Namespace: h.namespace, Fleet: "arena", Ready: 2, Counted: true, Timeout: limit})
}
