package queues

import "time"

// minAcceptance is the shortest time that people need, and their devices.
const minAcceptance = 5 * time.Second

// Acceptance asks the players of a match whether they play it, before it has a game
// server.
type Acceptance struct {
	// TimeLimit is how long they have for it. The director knows the longest.
	TimeLimit Duration `json:"time_limit"`
}

func (q *Queue) checkAcceptance(bad report) {
	if q.Acceptance == nil {
		return
	}
	if d := q.Acceptance.TimeLimit.Duration; d < minAcceptance {
		bad("time_limit", "must be at least %v, got %v", minAcceptance, d)
	}
	if q.Backfill != nil {
		bad("", "must not be there with backfill: who joins a running match is not asked")
	}
}

// AcceptTime is how long players have to accept a match of the queue; 0: they are not
// asked.
func (q Queue) AcceptTime() time.Duration {
	if q.Acceptance == nil {
		return 0
	}
	return q.Acceptance.TimeLimit.Duration
}
