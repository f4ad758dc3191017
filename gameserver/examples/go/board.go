package main

import "slices"

// The board has fields of which each holds one player.
const (
	boardWidth  = 16
	boardHeight = 9
)

type field struct{ x, y int }

// board is where the players of one match are. Who comes back is where they were.
type board struct {
	at map[string]field // those who play
	// last is where players were who do not now.
	last map[string]field
}

func newBoard() *board { return &board{at: map[string]field{}, last: map[string]field{}} }

// enter puts a player on the board: where they were, or else on the first free field, corners first.
func (b *board) enter(player string) {
	start := []field{{1, 1}, {boardWidth - 2, boardHeight - 2}, {boardWidth - 2, 1}, {1, boardHeight - 2}}
	if was, ok := b.last[player]; ok {
		start = slices.Insert(start, 0, was)
	}
	for y := range boardHeight {
		for x := range boardWidth {
			start = append(start, field{x, y})
		}
	}
	for _, f := range start {
		if b.free(f) {
			b.at[player] = f
			return
		}
	}
}

func (b *board) leave(player string) {
	if f, ok := b.at[player]; ok {
		b.last[player] = f
		delete(b.at, player)
	}
}

// step moves a player by one field, and reports whether it could: not over the edge, not onto
// somebody, and not further.
func (b *board) step(player string, dx, dy int) bool {
	from, ok := b.at[player]
	to := field{from.x + dx, from.y + dy}
	if !ok || dx*dx+dy*dy != 1 || !b.free(to) {
		return false
	}
	b.at[player] = to
	return true
}

func (b *board) free(f field) bool {
	if f.x < 0 || f.y < 0 || f.x >= boardWidth || f.y >= boardHeight {
		return false
	}
	for _, taken := range b.at {
		if taken == f {
			return false
		}
	}
	return true
}
