package explain

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

func queue(l *line, name string, n int) {
	for i := range n {
		l.entries = append(l.entries, &entry{id: fmt.Sprint(name, i), queue: name})
	}
}

func TestQueuesShareTheTurns(t *testing.T) {
	for name, test := range map[string]struct{ have, want map[string]int }{
		"nobody":             {nil, nil},
		"few":                {map[string]int{"a": 3, "b": 4}, map[string]int{"a": 3, "b": 4}},
		"one crowd":          {map[string]int{"a": 500}, map[string]int{"a": 100}},
		"two crowds":         {map[string]int{"a": 500, "b": 101}, map[string]int{"a": 50, "b": 50}},
		"a crowd and a few":  {map[string]int{"a": 5, "b": 900, "c": 20}, map[string]int{"a": 5, "b": 75, "c": 20}},
		"crowds and one":     {map[string]int{"a": 500, "b": 1, "c": 500}, map[string]int{"a": 49, "b": 1, "c": 50}},
		"exactly what there": {map[string]int{"a": 60, "b": 40}, map[string]int{"a": 60, "b": 40}},
	} {
		for range 4 { // whichever is first
			l := new(line)
			for q, n := range test.have {
				queue(l, q, n)
			}
			l.first = rand.IntN(10)
			got, all := map[string]int{}, 0
			for _, e := range pick(l.sweep(func(*entry) verdict { return ask }), 100, func(*entry) bool { return true }) {
				got[e.queue]++
				all++
			}
			for q, n := range test.want {
				if d := got[q] - n; d < -1 || d > 1 { // who gets the odd one depends on the turn
					t.Errorf("%s: %v, want %v", name, got, test.want)
				}
			}
			have := 0
			for _, n := range test.have {
				have += n
			}
			if all != min(have, 100) {
				t.Errorf("%s: %d picked", name, all)
			}
		}
	}
}

// More queues than turns: all get some.
func TestMoreQueuesThanTurns(t *testing.T) {
	l := new(line)
	for q := range 30 {
		queue(l, fmt.Sprintf("q%02d", q), 5)
	}
	seen := map[string]bool{}
	for range 30 {
		picked := pick(l.sweep(func(*entry) verdict { return ask }), 4, func(*entry) bool { return true })
		if len(picked) != 4 {
			t.Fatalf("%d picked", len(picked))
		}
		for _, e := range picked {
			seen[e.queue] = true
		}
	}
	if len(seen) != 30 {
		t.Errorf("%d of 30 queues had a turn", len(seen))
	}
}

// TestTurns: whatever is answered, leaves or has ended, nobody is picked twice,
// those who wait come in order, and everybody has a turn.
func TestTurns(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		l, gone, ended, turns := new(line), map[*entry]bool{}, map[*entry]bool{}, map[*entry]int{}
		n := 1 + r.IntN(40)
		queue(l, "a", n)
		most := 1 + r.IntN(10)
		judge := func(e *entry) verdict {
			switch {
			case gone[e]:
				return leave
			case len(e.id) == 2: // "a0" to "a9" are young
				return stay
			}
			return ask
		}
		for range 2 * n {
			picked := pick(l.sweep(judge), most, func(e *entry) bool { return !ended[e] })
			if len(picked) > most {
				t.Fatalf("%d picked, at most %d", len(picked), most)
			}
			twice := map[*entry]bool{}
			for _, e := range picked {
				if twice[e] || gone[e] || ended[e] || len(e.id) == 2 {
					t.Fatalf("%s should not be asked for", e.id)
				}
				twice[e] = true
				turns[e]++
				e.back = true
				gone[e], ended[e] = r.IntN(20) == 0, r.IntN(20) == 0
			}
		}
		for _, e := range l.entries {
			if !ended[e] && !gone[e] && len(e.id) > 2 && turns[e] == 0 {
				t.Fatalf("%s never had a turn", e.id)
			}
		}
	}
}
