package api

import (
	"fmt"
	"slices"
	"testing"
)

// TestNobodyIsTold: who asks is remembered for whoever takes it, and not if nobody does.
func TestNobodyIsTold(t *testing.T) {
	var asked touched
	for i := range 1000 {
		asked.note(fmt.Sprint(i))
		asked.enter(fmt.Sprint(i))()
	}
	leave := asked.enter("waits")
	if got := asked.take(); !slices.Equal(got, []string{"waits"}) {
		t.Errorf("%d tickets are remembered", len(got))
	}
	asked.begin()
	asked.note("asked")
	leave()
	got := asked.take()
	slices.Sort(got)
	if !slices.Equal(got, []string{"asked", "waits"}) || len(asked.take()) != 0 {
		t.Errorf("taken: %v", got)
	}
}
