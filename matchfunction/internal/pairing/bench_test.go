package pairing_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"torikumi/matchfunction/internal/pairing"
)

// pool makes n solos with normal skill (1500/200) who came within 20 s.
func pool(n int, change func(*rand.Rand, *pairing.Ticket)) []pairing.Ticket {
	rng := rand.New(rand.NewPCG(7, uint64(n)))
	tickets := make([]pairing.Ticket, n)
	for i := range tickets {
		tickets[i] = solo(fmt.Sprintf("ticket-%06d", i), 1500+200*rng.NormFloat64(), time.Duration(rng.Int64N(int64(20*time.Second))))
		if change != nil {
			change(rng, &tickets[i])
		}
	}
	return tickets
}

func BenchmarkPair(b *testing.B) {
	fives := versus(5, 5)
	fives.Window = 100
	hopeless := versus(3, 3)
	hopeless.AnySkillAfter = pairing.Never
	// Teams of up to 100 from a window that holds hardly as many.
	large := versus(75, 100)
	large.AnySkillAfter, large.Window, large.WidenPerSecond = pairing.Never, 1, 0
	for _, c := range []struct {
		name   string
		rules  *pairing.Rules
		change func(*rand.Rand, *pairing.Ticket)
	}{
		{"1v1", duel(), nil},
		{"5v5", fives, nil},
		{"5v5 parties in 4 regions", fives, func(rng *rand.Rand, t *pairing.Ticket) {
			t.Size, t.Region = 1+rng.IntN(4), ""
			t.Latencies = []map[string]int32{{"ap": rng.Int32N(200), "eu": rng.Int32N(200), "sa": rng.Int32N(200), "us": rng.Int32N(200)}}
		}},
		{"100v100", large, func(rng *rand.Rand, t *pairing.Ticket) { t.Size = 1 + rng.IntN(4) }},
		// Pairs of whom no number fills a team of three.
		{"impossible", hopeless, func(_ *rand.Rand, t *pairing.Ticket) { t.Size = 2 }},
	} {
		for _, n := range []int{1_000, 10_000, 100_000} {
			tickets := pool(n, c.change)
			b.Run(fmt.Sprintf("%s/%d", c.name, n), func(b *testing.B) {
				b.ReportAllocs()
				matched := 0
				for b.Loop() {
					matched = 0
					for _, p := range pair(c.rules, tickets, now) {
						for _, team := range p.Teams {
							matched += len(team)
						}
					}
				}
				b.ReportMetric(100*float64(matched)/float64(n), "%matched")
			})
		}
	}
}
