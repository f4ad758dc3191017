package simulate

import (
	"math"
	"testing"
)

func sample(policy string, knob float64, seed uint64, wait, spread float64) Sample {
	return Sample{World: "w", Policy: policy, Knob: knob, Seed: seed, Day: Figures{WaitMean: wait, SpreadMean: spread, SpreadP95: 2 * spread, WaitP99: 3 * wait}}
}

// A point is put beside our curve of the same day at the same mean wait, and nowhere
// beyond its ends.
func TestCompare(t *testing.T) {
	samples := []Sample{
		sample(Ours, 0, 1, 10, 100), sample(Ours, 1, 1, 40, 25), sample(Ours, 0, 2, 10, 200), sample(Ours, 1, 2, 40, 50),
		sample("other", 0.5, 1, 20, 100), sample("other", 0.5, 2, 20, 100), sample("other", 1, 1, 9, 100), sample("other", 1, 2, 41, 1),
		{World: "elsewhere", Policy: Ours, Seed: 1, Day: Figures{WaitMean: 20, SpreadMean: 1}},
	}
	got := Compare(samples, "w", func(s *Sample) *Figures { return &s.Day })
	if len(got) != 2 || got[0].Knob != 1 || got[1].Knob != 0.5 {
		t.Fatalf("%+v", got)
	}
	if got[0].Seeds != 0 || !math.IsNaN(got[0].Mean.Mean) {
		t.Errorf("beyond the curve: %+v", got[0])
	}
	// Half of the way in the logarithms: 50 and 100.
	c := got[1]
	if c.Seeds != 2 || math.Abs(c.Mean.Mean-0.75) > 1e-9 || math.Abs(c.P95.Mean-0.75) > 1e-9 || c.Mean.Below < 0.75 || c.Mean.Below > 1 || math.Abs(c.P99.Mean-1) > 1e-9 {
		t.Errorf("%+v", c)
	}
	if again := Compare(samples, "w", func(s *Sample) *Figures { return &s.Day }); again[1] != c {
		t.Errorf("%+v, again %+v", c, again[1])
	}
}

// Twenty days that agree are certain, and those that do not are not.
func TestRatio(t *testing.T) {
	sure, unsure := make([]float64, 20), make([]float64, 20)
	for i := range sure {
		sure[i], unsure[i] = 0.9, 0.5+float64(i%2)
	}
	if r := ratio(sure); math.Abs(r.Below-0.9) > 1e-9 {
		t.Errorf("%+v", r)
	}
	if r := ratio(unsure); r.Mean != 1 || r.Below < 1.1 || r.Below > 1.3 {
		t.Errorf("%+v", r)
	}
}

// A point of ours that another one beats in both is not on our curve, wherever it stands.
func TestUndominated(t *testing.T) {
	samples := []Sample{
		sample(Ours, 0, 1, 13, 300), sample(Ours, 0.1, 1, 10, 100), sample(Ours, 0.2, 1, 10, 120), sample(Ours, 0.3, 1, 25, 101), sample(Ours, 1, 1, 40, 25),
		sample("other", 1, 1, 20, 100),
	}
	c := Compare(samples, "w", func(s *Sample) *Figures { return &s.Day })[0]
	if c.Seeds != 1 || math.Abs(c.Mean.Mean-0.5) > 1e-9 {
		t.Errorf("%+v, want half of it, between the second and the last point", c)
	}
}
