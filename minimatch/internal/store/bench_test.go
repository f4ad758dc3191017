package store_test

import (
	"fmt"
	"testing"
	"time"

	"torikumi/minimatch/internal/clock"
	"torikumi/minimatch/internal/store"
	"torikumi/proto/openmatch"
)

// filled is a store with n tickets, of which 100 each have a region in common.
func filled(b *testing.B, n int) *store.Store {
	s := store.New(store.Options{Clock: clock.Real{}, PendingTimeout: time.Minute, AssignedTimeout: time.Minute})
	b.Cleanup(s.Close)
	for i := range n {
		s.Create(session(i))
	}
	return s
}

func session(i int) *openmatch.Ticket {
	return &openmatch.Ticket{SearchFields: &openmatch.SearchFields{
		Tags:       []string{"mode.session"},
		StringArgs: map[string]string{"region": fmt.Sprint(i / 100)},
		DoubleArgs: map[string]float64{"skill": float64(i % 3000), "latency": float64(i % 200)},
	}}
}

func BenchmarkQueryFor100(b *testing.B) {
	for _, n := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := filled(b, n)
			f := pool(b, &openmatch.Pool{
				TagPresentFilters:   []*openmatch.TagPresentFilter{{Tag: "mode.session"}},
				StringEqualsFilters: []*openmatch.StringEqualsFilter{{StringArg: "region", Value: "7"}},
			})
			for b.Loop() {
				if got := s.Query(f); len(got) != 100 {
					b.Fatalf("found %d", len(got))
				}
			}
		})
	}
}

// BenchmarkTicketsLife takes one ticket from creation to deletion.
func BenchmarkTicketsLife(b *testing.B) {
	for _, n := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := filled(b, n)
			b.ReportAllocs()
			for b.Loop() {
				id := s.Create(session(7)).GetId()
				s.SetPending([]string{id})
				assign(s, "10.0.0.1:7000", id)
				s.Delete(id)
			}
		})
	}
}
