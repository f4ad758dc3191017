package ticket

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	torikumiv1 "torikumi/proto/torikumi/v1"
)

// TestCostOfWaiting bounds what a waiting ticket that is watched costs in memory,
// its player included: the store has no part in what a waiting player costs.
func TestCostOfWaiting(t *testing.T) {
	const tickets, most = 20_000, 2 << 10
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, goroutines := heap(), runtime.NumGoroutine()
	m := NewMemory(Limits{Timeout: time.Hour, Assigned: time.Hour, Ended: time.Hour, Tickets: tickets})
	watched := make([]<-chan struct{}, 0, tickets)
	for i := range tickets {
		id := fmt.Sprint(i)
		if _, err := m.Create(t.Context(), Ticket{ID: id, Queue: "q", Players: []*torikumiv1.Player{{Id: id}}}); err != nil {
			t.Fatal(err)
		}
		m.try(t, id, Attach, "om-"+id)
		_, changed, err := m.Watch(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		watched = append(watched, changed)
	}
	each := (heap() - before) / tickets
	t.Logf("%d bytes per ticket", each)
	if each > most {
		t.Errorf("%d bytes per ticket, want at most %d", each, most)
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines more", n-goroutines)
	}
	runtime.KeepAlive(m)
	runtime.KeepAlive(watched)
}
