package queues

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Backfill says that matches are filled up while they run.
type Backfill struct {
	// Automatic has the gate ask for players by itself whenever a place is free.
	Automatic bool `json:"automatic,omitempty"`
	// Reserve is how long the place of a player who has left is kept, and that of
	// one who was found and does not come: DefaultReserve when the file does not say.
	Reserve Duration `json:"reserve,omitempty"`
}

// Bounds of Backfill.Reserve. Who was found has to hear of it and to come, and the gate
// has to hear of them, before their place can be given to somebody else.
const (
	DefaultReserve = 30 * time.Second
	minReserve     = 10 * time.Second
	maxReserve     = time.Hour
)

// maxBackfillMatchData leaves room for what the players of a match that is filled up
// are like, beside match data and roster.
const maxBackfillMatchData = 64 << 10

func (q *Queue) checkBackfill(bad report) {
	b := q.Backfill
	if b == nil {
		return
	}
	if b.Reserve.Duration == 0 {
		b.Reserve.Duration = DefaultReserve
	}
	if d := b.Reserve.Duration; d < minReserve || d > maxReserve {
		bad("reserve", "must be from %v to %v, got %v", minReserve, maxReserve, d)
	}
	if q.RuleSetFile == "" {
		bad("", "must not be there without rule_set: by skill alone no match is filled up")
	}
	if q.Allocation.Shared() {
		bad("", "must not be there with state Allocated in a selector: a server that has several matches is not filled up")
	}
	if q.Allocation.MatchData.MaxBytes > maxBackfillMatchData {
		bad("", "must not be there with allocation.match_data.max_bytes above %d, as the annotations of a server have 256 KiB together, got %d", maxBackfillMatchData, q.Allocation.MatchData.MaxBytes)
	}
}

// Policy is what a roster says of filling a match of the queue up; nil if it is not.
func (q Queue) Policy() *torikumiv1.BackfillPolicy {
	if q.Backfill == nil {
		return nil
	}
	return &torikumiv1.BackfillPolicy{Automatic: q.Backfill.Automatic, Reserve: durationpb.New(q.Backfill.Reserve.Duration)}
}

// TeamSizes is how many players each team of a match has at most, by its name; with a
// rule set after any wait.
func (q Queue) TeamSizes() map[string]int {
	sizes := make(map[string]int)
	for _, t := range q.Teams {
		sizes[t.Name] = int(t.MaxPlayers)
	}
	if q.RuleSet != nil {
		for i := range q.RuleSet.Stages {
			for _, slot := range q.RuleSet.Stages[i].TeamSlots() {
				sizes[slot.Name] = max(sizes[slot.Name], slot.Max)
			}
		}
	}
	return sizes
}
