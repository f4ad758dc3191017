package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestBoard(t *testing.T) {
	b := newBoard()
	b.enter("ann")
	b.enter("bob")
	if b.at["ann"] != (field{1, 1}) || b.at["bob"] != (field{boardWidth - 2, boardHeight - 2}) {
		t.Fatalf("they begin at %v", b.at)
	}
	for _, s := range []struct {
		dx, dy int
		want   bool
	}{
		{1, 1, false}, {2, 0, false}, {0, 0, false}, {0, -2, false}, // no step
		{-1, 0, true}, {-1, 0, false}, {0, -1, true}, {0, -1, false}, // to the corner, and no further
	} {
		if got := b.step("ann", s.dx, s.dy); got != s.want {
			t.Errorf("a step of %d, %d to %v: %t", s.dx, s.dy, b.at["ann"], got)
		}
	}
	if b.step("nobody", 1, 0) {
		t.Error("somebody who is not there has moved")
	}
	b.leave("ann")
	b.enter("cy")
	b.enter("ann")
	if b.at["cy"] != (field{1, 1}) || b.at["ann"] != (field{0, 0}) {
		t.Errorf("who comes back is not where they were: %v", b.at)
	}
}

// TestOneOnAField: whatever players do, no two are on one field, or outside.
func TestOneOnAField(t *testing.T) {
	seed := rand.Uint64()
	pick := rand.New(rand.NewPCG(seed, 0))
	b := newBoard()
	for range 20_000 {
		player := fmt.Sprint("player", pick.IntN(60))
		switch _, there := b.at[player]; {
		case !there:
			b.enter(player)
		case pick.IntN(20) == 0:
			b.leave(player)
		default:
			b.step(player, pick.IntN(3)-1, pick.IntN(3)-1)
		}
		taken := map[field]string{}
		for name, f := range b.at {
			if other := taken[f]; other != "" || f.x < 0 || f.y < 0 || f.x >= boardWidth || f.y >= boardHeight {
				t.Fatalf("seed %d: %s is at %v, where %q is", seed, name, f, other)
			}
			taken[f] = name
		}
	}
}

func TestConnection(t *testing.T) {
	c := newConnection()
	c.send("WELCOME")
	c.show("BOARD 1")
	c.show("BOARD 2")
	if texts, closed := c.take(); strings.Join(texts, ",") != "WELCOME,BOARD 2" || closed {
		t.Errorf("%q, %t: only the newest board is sent", texts, closed)
	}
	for range maxQueue {
		c.send("PONG")
	}
	if _, closed := c.take(); closed {
		t.Error("somebody who is slow is dropped")
	}
	for range maxQueue + 1 {
		c.send("PONG")
	}
	if texts, closed := c.take(); !closed || len(texts) > 0 {
		t.Errorf("somebody who does not read keeps %d messages, %t", len(texts), closed)
	}
}
