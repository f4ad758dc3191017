package index_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"torikumi/minimatch/internal/index"
)

var sizes = []int{10_000, 100_000, 1_000_000}

// BenchmarkInsertRemove takes one of n tickets out and puts it back.
func BenchmarkInsertRemove(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			x, things := filled(n)
			r := rand.New(rand.NewPCG(1, 1))
			b.ReportAllocs()
			for b.Loop() {
				c := things[r.IntN(n)]
				x.Remove(&c.Entry)
				insert(x, c)
			}
		})
	}
}

// BenchmarkThrough puts new tickets in as the oldest leave, n at a time.
func BenchmarkThrough(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			x, things := filled(n)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				c := things[i%n]
				x.Remove(&c.Entry)
				c.created.Seconds += int64(n)
				insert(x, c)
			}
		})
	}
}

// BenchmarkQuery asks for about 100 of n tickets.
func BenchmarkQuery(b *testing.B) {
	for _, n := range sizes {
		x, _ := filled(n)
		for _, name := range []string{"string", "range", "created", "latest"} {
			f := pool(b, selective(n)[name])
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				var found []*thing
				var steps int
				for b.Loop() {
					found, steps = x.Steps(f, found[:0])
				}
				b.ReportMetric(float64(steps), "steps")
				b.ReportMetric(float64(len(found)), "candidates")
			})
		}
		runtime.KeepAlive(x)
	}
}

// BenchmarkBytes reports what the index of n typical tickets takes for each,
// beyond the ticket and the entry itself.
func BenchmarkBytes(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			things := make([]*thing, n)
			for i := range things {
				things[i] = session(i)
			}
			for b.Loop() {
				before := heap()
				x := index.New[*thing]()
				for _, c := range things {
					insert(x, c)
				}
				b.ReportMetric(float64(heap()-before)/float64(n), "B/ticket")
				for _, c := range things {
					x.Remove(&c.Entry)
				}
			}
		})
	}
}
