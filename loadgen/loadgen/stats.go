package loadgen

import (
	"fmt"
	"maps"
	"sync"
	"time"
)

// maxErrors is how many different messages of errors a report shows.
const maxErrors = 5

// stats count what becomes of the tickets. Safe for concurrent use.
type stats struct {
	mu sync.Mutex

	started, created, assigned, lost, interrupted int
	createErrors, lostBy                          map[string]int
	undeleted                                     int
	left                                          int
	failedBy                                      map[string]int
	latency, create, join, lag                    histogram
	matches                                       *matches
	inTime                                        int
	messages                                      []string
	known                                         map[string]bool
}

func newStats(m *matches) *stats {
	return &stats{createErrors: make(map[string]int), lostBy: make(map[string]int), failedBy: make(map[string]int), known: make(map[string]bool), matches: m}
}

// note keeps the first few messages. s.mu is held.
func (s *stats) note(what string, err error) {
	if len(s.messages) >= maxErrors {
		return
	}
	if text := fmt.Sprintf("%s: %v", what, err); !s.known[text] {
		s.known[text] = true
		s.messages = append(s.messages, text)
	}
}

func (s *stats) do(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *stats) start(lag time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started++
	s.lag.add(lag)
}

func (s *stats) createdAfter(d time.Duration, measured bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.created++
	if measured {
		s.create.add(d)
	}
}

func (s *stats) notCreated(code string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.createErrors[code]++
	s.note("create", err)
}

func (s *stats) assignedAfter(d time.Duration, measured bool, p place, region int, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.assigned++
	if measured {
		s.latency.add(d)
	}
	s.matches.add(p, region, now)
}

func (s *stats) lose(reason string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost++
	s.lostBy[reason]++
	s.note(reason, err)
}

// joined counts a player who came in so long after the assignment.
func (s *stats) joined(d time.Duration) { s.do(func() { s.join.add(d) }) }

// fail counts a player who could not come in, or was not in until the leave.
func (s *stats) fail(reason string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failedBy[reason]++
	s.note(reason, err)
}

func (s *stats) undelete(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.undeleted++
	s.note("delete", err)
}

// line is the progress, and the time to forget old matches.
func (s *stats) line(now time.Time, since time.Duration) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.matches.expire(now)
	failed := 0
	for n := range maps.Values(s.createErrors) {
		failed += n
	}
	return fmt.Sprintf("%5.0fs  created %d  assigned %d  waiting %d  lost %d  create errors %d  p99 %s",
		since.Seconds(), s.created, s.assigned, s.created-s.assigned-s.lost-s.interrupted, s.lost, failed, short(s.latency.quantile(0.99)))
}

// short rounds a duration to what one can read.
func short(d time.Duration) time.Duration {
	switch {
	case d >= 10*time.Second:
		return d.Round(100 * time.Millisecond)
	case d >= 100*time.Millisecond:
		return d.Round(time.Millisecond)
	}
	return d.Round(10 * time.Microsecond)
}
