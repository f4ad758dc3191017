package store_test

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/minimatch/internal/clock"
	"torikumi/minimatch/internal/store"
	"torikumi/proto/openmatch"
)

// filled is a store with n tickets, of which 100 each have a region in common.
func filled(b testing.TB, n int) *store.Store {
	s := store.New(store.Options{Clock: clock.Real{}, PendingTimeout: time.Minute, AssignedTimeout: time.Minute})
	b.Cleanup(s.Close)
	for i := range n {
		s.Create(session(i))
	}
	return s
}

func session(i int) *openmatch.Ticket {
	return &openmatch.Ticket{SearchFields: &openmatch.SearchFields{
		Tags:       []string{"mode.session", fmt.Sprint("group.", i/100)},
		StringArgs: map[string]string{"region": fmt.Sprint(i / 100)},
		DoubleArgs: map[string]float64{"skill": float64(i % 3000), "latency": float64(i % 200), "rank": float64(i)},
	}}
}

// BenchmarkQueryFor100 asks for about 100 of all tickets, by each thing that a
// pool can filter on.
func BenchmarkQueryFor100(b *testing.B) {
	for _, n := range []int{10_000, 100_000, 1_000_000} {
		s := filled(b, n)
		var created []time.Time
		for _, t := range s.Query(pool(b, &openmatch.Pool{})) {
			created = append(created, t.GetCreateTime().AsTime())
		}
		slices.SortFunc(created, time.Time.Compare)
		for name, p := range map[string]*openmatch.Pool{
			"string":  {StringEqualsFilters: []*openmatch.StringEqualsFilter{{StringArg: "region", Value: "7"}}},
			"tag":     {TagPresentFilters: []*openmatch.TagPresentFilter{{Tag: "group.7"}}},
			"range":   {DoubleRangeFilters: []*openmatch.DoubleRangeFilter{{DoubleArg: "rank", Min: 1000, Max: 1099}}},
			"created": {CreatedAfter: timestamppb.New(created[n-101])},
		} {
			f := pool(b, p)
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				for b.Loop() {
					if got := len(s.Query(f)); got != 100 {
						b.Fatalf("found %d", got)
					}
				}
			})
		}
	}
}

// BenchmarkMemory is what a waiting ticket takes.
func BenchmarkMemory(b *testing.B) {
	for _, n := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				before := heap()
				s := filled(b, n)
				b.ReportMetric(float64(heap()-before)/float64(n), "B/ticket")
				s.Close()
			}
		})
	}
}

// heap is what is reachable.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
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
