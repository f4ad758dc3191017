package api

import (
	"fmt"
	"slices"
	"testing"
)

// TestNobodyIsTold: who asks is remembered for whoever takes it, and not if nobody does.
func TestNobodyIsTold(t *testing.T) {
	var p presence
	for i := range 1000 {
		p.note(fmt.Sprint(i))
		p.enter(fmt.Sprint(i))()
	}
	leave := p.enter("waits")
	if got := p.take(); !slices.Equal(got, []string{"waits"}) {
		t.Errorf("%d tickets are remembered", len(got))
	}
	p.begin()
	p.note("asked")
	leave()
	got := p.take()
	slices.Sort(got)
	if !slices.Equal(got, []string{"asked", "waits"}) || len(p.take()) != 0 {
		t.Errorf("taken: %v", got)
	}
}
