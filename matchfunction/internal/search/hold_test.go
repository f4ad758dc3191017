package search_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"torikumi/matchfunction/internal/search"
	"torikumi/matchfunction/rule"
)

// prefers is one against one, or more, by skills within a window, with a preference;
// the extra rule keeps the pool from being divided at once.
func prefers(preference, window float64, size int, extra string) string {
	return fmt.Sprintf(`{"name": "prefers", "ruleLanguageVersion": "1.0", "playerAttributes": [{"name": "skill", "type": "number"}],
		"algorithm": {"preference": %g}, "teams": [{"name": "red", "minPlayers": %d, "maxPlayers": %d}, {"name": "blue", "minPlayers": %d, "maxPlayers": %d}],
		"rules": [{"name": "close", "type": "batchDistance", "batchAttribute": "skill", "maxDistance": %g}%s]}`,
		preference, size, size, size, size, window, extra)
}

// bothWays are rules by which the pool is divided at once, and by which it is not.
var bothWays = []string{"", `, {"name": "parties", "type": "similarPartySizes", "maxDifference": 50}`}

func skilled(id string, skill float64, waited time.Duration) rule.Ticket {
	return rule.Ticket{ID: id, Created: now.Add(-waited), Players: []rule.Player{{ID: "p" + id, Attributes: []rule.Attribute{{Name: "skill", Value: number(skill)}}}}}
}

// crowd is many others who have waited so long, too far away to meet anybody near 0.
func crowd(n int, width float64, waited time.Duration) []rule.Ticket {
	var out []rule.Ticket
	for i := range n {
		out = append(out, skilled(fmt.Sprint("other", i), width*float64(i)/float64(n), waited))
	}
	return out
}

// The larger the preference, the closer a match has to be, and the longer its
// tickets have waited the less.
func TestPreference(t *testing.T) {
	stands := func(preference float64, extra string, apart float64, waited time.Duration) bool {
		all := []rule.Ticket{skilled("a", 0, waited), skilled("b", apart, waited)}
		return len(found(t, prefers(preference, 400, 1, extra), all)) == 1
	}
	widest := func(preference float64, extra string, waited time.Duration) float64 {
		lo, hi := 0.0, 800.0
		for hi-lo > 0.01 {
			if m := (lo + hi) / 2; stands(preference, extra, m, waited) {
				lo = m
			} else {
				hi = m
			}
		}
		return lo
	}
	for _, extra := range bothWays {
		before := 400.1
		for _, p := range []float64{0, 0.2, 0.5, 0.8, 1} {
			w := widest(p, extra, 0)
			if p == 0 && math.Abs(w-400) > 0.1 || w >= before || w < 5 {
				t.Errorf("preference %v: up to %v, the smaller one before it %v", p, w, before)
			}
			before = w
			longer := w
			for _, waited := range []time.Duration{10 * time.Second, time.Minute, 5 * time.Minute, time.Hour} {
				now := widest(p, extra, waited)
				if now < longer-0.02 {
					t.Errorf("preference %v: up to %v after %v, more before", p, now, waited)
				}
				longer = now
			}
			if math.Abs(longer-400) > 0.1 {
				t.Errorf("preference %v: up to %v after an hour, the rules allow 400", p, longer)
			}
		}
	}
}

// The more come around a ticket, the closer its match has to be; who is far away or
// in another region is nothing to it.
func TestPreferenceFollowsArrivals(t *testing.T) {
	few := []rule.Ticket{skilled("a", 0, 30*time.Second), skilled("b", 80, 30*time.Second)}
	many := slices.Concat(few, crowd(60, 400, 0))
	rules := prefers(0.5, 400, 1, "")
	close := func(pool []rule.Ticket) (spread float64) {
		for _, m := range found(t, rules, pool) {
			if m.Tickets[0].ID == "a" || m.Tickets[1].ID == "a" {
				return math.Abs(m.Tickets[0].Players[0].Attributes[0].Value.Number - m.Tickets[1].Players[0].Attributes[0].Value.Number)
			}
		}
		return math.Inf(1)
	}
	if s := close(few); s != 80 {
		t.Errorf("where nobody else comes they are matched, spread %v", s)
	}
	if s := close(many); s > 10 {
		t.Errorf("where many come: spread %v", s)
	}
	// As many, who have waited for long: hardly anybody comes.
	apart := func(waited time.Duration) int {
		pool := crowd(20, 400, waited)
		for i := range pool {
			pool[i].Players[0].Attributes[0].Value.Number += 1000 * float64(i%2)
		}
		return len(found(t, prefers(1, 400, 1, ""), pool))
	}
	if fresh, old := apart(time.Second), apart(10*time.Minute); fresh >= old {
		t.Errorf("%d matches of those who have just come, %d of those who have waited", fresh, old)
	}
}

// drawPool draws tickets whose ages may be anything.
func drawPool(t *rapid.T) []rule.Ticket {
	n := rapid.IntRange(0, 40).Draw(t, "tickets")
	out := make([]rule.Ticket, n)
	for i := range out {
		skill := rapid.SampledFrom([]float64{0, 1, 50, -50, 1e308, -1e308, math.SmallestNonzeroFloat64}).Draw(t, "skill") + rapid.Float64Range(-300, 300).Draw(t, "more")
		waited := time.Duration(rapid.SampledFrom([]int64{0, -int64(time.Hour), int64(time.Hour), math.MaxInt64, math.MinInt64, int64(time.Second)}).Draw(t, "waited"))
		out[i] = skilled(fmt.Sprint(i), skill, 0)
		out[i].Created = now.Add(-waited)
		if rapid.IntRange(0, 9).Draw(t, "epoch") == 0 {
			out[i].Created = time.Time{}
		}
	}
	return out
}

// Whatever the preference and however hostile the ages: what stands with it would
// stand without, everything that does keeps the rules, and the same pool gives the
// same matches.
func TestPreferenceIsSound(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		window := rapid.SampledFrom([]float64{0, 1, 100, 400, 1e300, math.MaxFloat64}).Draw(r, "window")
		size := rapid.IntRange(1, 3).Draw(r, "size")
		text := prefers(rapid.Float64Range(0, 1).Draw(r, "preference"), window, size, rapid.SampledFrom(bothWays).Draw(r, "extra"))
		pool := drawPool(r)
		e := compile(t, text)
		got := slices.Collect(e.Search(r.Context(), pool, now, nil))
		used := make(map[int32]bool)
		for _, p := range got {
			lo, hi := math.Inf(1), math.Inf(-1)
			for _, k := range p.Tickets {
				x := pool[k].Players[0].Attributes[0].Value.Number
				lo, hi = min(lo, x), max(hi, x)
				if used[k] {
					r.Fatalf("ticket %d is in two", k)
				}
				used[k] = true
			}
			if !(hi-lo <= window) || len(p.Tickets) != 2*size {
				r.Fatalf("%d tickets, %v apart, window %v", len(p.Tickets), hi-lo, window)
			}
		}
		again := slices.Collect(e.Search(r.Context(), pool, now, nil))
		if !slices.EqualFunc(got, again, func(a, b search.Proposal) bool { return slices.Equal(a.Tickets, b.Tickets) }) {
			r.Fatal("the same pool gave other matches")
		}
		e.Why(r.Context(), pool, []int{0}[:min(1, len(pool))], now)
	})
}

// Nobody starves: who has waited for as long as a preference holds out is matched
// whenever the rules allow it, however many others come and whatever they prefer.
func TestNobodyStarves(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		preference := rapid.Float64Range(0.01, 1).Draw(r, "preference")
		size := rapid.IntRange(1, 5).Draw(r, "size")
		e := compile(t, prefers(preference, 400, size, rapid.SampledFrom(bothWays).Draw(r, "extra")))
		waited := time.Duration(preference*float64(time.Hour)).Round(time.Second) + time.Second
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(r, "seed"), 1))
		pool := []rule.Ticket{skilled("old", 0, waited)}
		for i := range 2*size - 1 + rapid.IntRange(0, 30).Draw(r, "others") {
			pool = append(pool, skilled(fmt.Sprint(i), 200+200*rng.Float64(), time.Duration(rng.Int64N(int64(5*time.Second)))))
		}
		for p := range e.Search(r.Context(), pool, now, nil) {
			if slices.Contains(p.Tickets, 0) {
				return
			}
		}
		r.Fatalf("preference %v: one who has waited for %v is left of %d", preference, waited, len(pool))
	})
}

// What is said of how long a match is held back at most is so, if nobody else comes: whatever
// the ages are, and though fewer seem to come the longer all wait.
func TestHeldIsTheMost(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		size := rapid.IntRange(1, 5).Draw(r, "size")
		e := compile(t, prefers(rapid.Float64Range(0.01, 1).Draw(r, "preference"), 400, size, rapid.SampledFrom(bothWays).Draw(r, "extra")))
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(r, "seed"), 1))
		oldest := rapid.SampledFrom([]time.Duration{time.Second, time.Minute, 20 * time.Minute}).Draw(r, "oldest")
		var pool []rule.Ticket
		for i := range 2 * size {
			pool = append(pool, skilled(fmt.Sprint(i), 400*rng.Float64(), time.Duration(float64(oldest)*math.Pow(rng.Float64(), 4))))
		}
		x := e.Explain(t.Context(), pool, 0, now)
		if x.Match == nil && x.Held == nil {
			r.Fatalf("neither matched nor held: %+v", x)
		}
		if x.Match != nil {
			return
		}
		if again := e.Explain(t.Context(), pool, 0, now.Add(x.Held.In)); again.Match == nil {
			r.Fatalf("held for %v at most, and %v after that", x.Held.In, again.Held)
		}
	})
}

// A clock that is wrong by some seconds changes the threshold little: the pool's age
// enters by a small power.
func TestPreferenceBearsWrongClocks(t *testing.T) {
	matches := func(skew time.Duration) float64 {
		rng := rand.New(rand.NewPCG(3, 4))
		sum := 0.0
		for range 50 {
			var pool []rule.Ticket
			for i := range 40 {
				pool = append(pool, skilled(fmt.Sprint(i), 200*rng.NormFloat64(), time.Duration(rng.Int64N(int64(20*time.Second)))+skew))
			}
			sum += float64(len(found(t, prefers(0.5, 400, 2, ""), pool)))
		}
		return sum
	}
	right := matches(0)
	for _, skew := range []time.Duration{-time.Minute, -5 * time.Second, 5 * time.Second} {
		if m := matches(skew); m < right*0.7 || m > right*1.3 {
			t.Errorf("clocks differ by %v: %v matches, else %v", skew, m, right)
		}
	}
}

// A running match is filled at once, and who has nobody near is told of the match
// that is held back.
func TestWhyHeld(t *testing.T) {
	for _, extra := range bothWays {
		pool := []rule.Ticket{skilled("a", 0, 2*time.Second), skilled("b", 300, time.Second)}
		e := compile(t, prefers(0.5, 400, 1, extra))
		x := e.Explain(t.Context(), pool, 0, now)
		if x.Match != nil || x.Held == nil || x.Held.Spread != 300 || x.Held.Most > 200 || x.Held.In <= 0 {
			t.Fatalf("%+v, held %+v", x, x.Held)
		}
		if again := e.Explain(t.Context(), pool, 0, now.Add(x.Held.In)); again.Match == nil {
			t.Errorf("after %v: %+v", x.Held.In, again)
		}
		pool[1].Teams = []int{1}
		if got := slices.Collect(e.Search(t.Context(), pool, now, nil)); len(got) != 1 {
			t.Errorf("the running match is not filled: %v", got)
		}
	}
}
