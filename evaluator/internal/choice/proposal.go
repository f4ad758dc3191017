package choice

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Proposal is what the choice needs of a match.
type Proposal struct {
	// ID is the match id.
	ID string
	// Score: higher is better; -Inf where there is none. Not NaN.
	Score float64
	// Oldest is when the oldest of its tickets was created; the zero time is
	// unknown, and counts as younger than any other.
	Oldest time.Time
	// Tickets are their ids.
	Tickets []string
	// NewBackfill is true if it makes a backfill, which has no id yet.
	NewBackfill bool
	// Backfill is the id of the one that it fills, or empty.
	Backfill string
}

// weighable reports whether the score can be part of a sum to make high.
func (p Proposal) weighable() bool { return p.Score > 0 && p.Score <= math.MaxFloat64 }

// equals reports whether p and q take the same things.
func (p Proposal) equals(q Proposal) bool {
	return p.Backfill == q.Backfill && p.NewBackfill == q.NewBackfill && slices.Equal(p.Tickets, q.Tickets)
}

// compare orders by falling score, then by the older oldest ticket, then by
// id: the stock order.
func (p Proposal) compare(q Proposal) int {
	if c := cmp.Or(cmp.Compare(q.Score, p.Score), cmp.Compare(p.unknownAge(), q.unknownAge()), p.Oldest.Compare(q.Oldest)); c != 0 {
		return c
	}
	return cmp.Compare(p.ID, q.ID)
}

func (p Proposal) unknownAge() int {
	if p.Oldest.IsZero() {
		return 1
	}
	return 0
}
