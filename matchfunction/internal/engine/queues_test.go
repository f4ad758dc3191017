package engine_test

import (
	"testing"
	"time"

	"torikumi/matchfunction/internal/engine"
	"torikumi/pkg/queues"
	"torikumi/proto/openmatch"
)

// What the director makes of the queues that ship is understood here, and
// two who wait in a region of "session" are matched after 10 s at the latest.
func TestQueuesThatShip(t *testing.T) {
	for _, q := range queues.Default().Queues {
		p, err := q.Profile()
		if err != nil {
			t.Fatal(err)
		}
		compiled, err := new(engine.Compiler).Compile(p)
		if err != nil || compiled.Queue != q.Name {
			t.Fatalf("queue %q: %v", q.Name, err)
		}
		if q.Name != "session" {
			continue
		}
		existing := func(id string, skill float64, waited time.Duration) *openmatch.Ticket {
			k := ticket(id, waited, nil)
			k.SearchFields = &openmatch.SearchFields{Tags: []string{q.Tag()},
				DoubleArgs: map[string]float64{"skill": skill, "latency": 300}, StringArgs: map[string]string{"region": "eu"}}
			return k
		}
		pool := admit([]*openmatch.Ticket{existing("a", 0, 10*time.Second), existing("b", 1e6, 0)}, now, ignore)
		found := 0
		for m := range compiled.Engine.Search(t.Context(), engine.Pool{Tickets: pool}, now, ignore) {
			found++
			if m.Region != "eu" || len(m.Tickets) != 2 {
				t.Errorf("got %+v", m)
			}
		}
		if found != 1 {
			t.Errorf("%d matches of two who have waited for 10 s", found)
		}
	}
}

func ignore(*openmatch.Ticket, engine.Reason) {}
