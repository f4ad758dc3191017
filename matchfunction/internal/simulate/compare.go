package simulate

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// Comparison is how the search fares beside another policy at the same mean wait.
type Comparison struct {
	World, Policy string
	Knob          float64
	// Wait is the mean wait of both, in seconds, Spread the other's mean spread.
	Wait, Spread float64
	// Mean, P95 and P99 are ours divided by the other's: the mean spread, the 95th
	// percentile of the spread, and the 99th of the wait.
	Mean, P95, P99 Ratio
	// Seeds is how many days had the same mean wait on our curve.
	Seeds int
}

// Ratio is a mean over days, and below what it is with a certainty of 95%.
type Ratio struct{ Mean, Below float64 }

// point is a policy's day in numbers.
type point struct{ wait, mean, p95, p99 float64 }

func pointOf(f *Figures) point { return point{f.WaitMean, f.SpreadMean, f.SpreadP95, f.WaitP99} }

// Compare puts each point of each other policy beside the curve of the search on the
// same day; figures chooses the part of the day.
func Compare(samples []Sample, world string, figures func(*Sample) *Figures) []Comparison {
	type key struct {
		policy string
		knob   float64
	}
	curves := make(map[uint64][]point)
	others := make(map[key]map[uint64]point)
	for i := range samples {
		s := &samples[i]
		if s.World != world {
			continue
		}
		p := pointOf(figures(s))
		if s.Policy == Ours {
			curves[s.Seed] = append(curves[s.Seed], p)
			continue
		}
		k := key{s.Policy, s.Knob}
		if others[k] == nil {
			others[k] = make(map[uint64]point)
		}
		others[k][s.Seed] = p
	}
	for seed := range curves {
		curves[seed] = undominated(curves[seed])
	}
	var out []Comparison
	for k, days := range others {
		c := Comparison{World: world, Policy: k.policy, Knob: k.knob}
		var mean, p95, p99 []float64
		for seed, o := range days {
			c.Wait += o.wait / float64(len(days))
			c.Spread += o.mean / float64(len(days))
			if p, ok := at(curves[seed], o.wait); ok {
				mean, p95, p99 = append(mean, p.mean/o.mean), append(p95, p.p95/o.p95), append(p99, p.p99/o.p99)
			}
		}
		c.Seeds = len(mean)
		c.Mean, c.P95, c.P99 = ratio(mean), ratio(p95), ratio(p99)
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b Comparison) int { return cmp.Or(cmp.Compare(a.Policy, b.Policy), cmp.Compare(b.Knob, a.Knob)) })
	return out
}

// undominated sorts a curve by the mean wait, without the points beside which another one
// has no larger mean spread at no longer a wait: nobody would choose them.
func undominated(curve []point) []point {
	slices.SortFunc(curve, func(a, b point) int { return cmp.Or(cmp.Compare(a.wait, b.wait), cmp.Compare(a.mean, b.mean)) })
	out := curve[:0]
	for _, p := range curve {
		if len(out) == 0 || p.mean < out[len(out)-1].mean {
			out = append(out, p)
		}
	}
	return out
}

// at is the point of a curve, sorted by the mean wait, at a mean wait: evenly between its
// neighbours in the logarithms. There is none beyond the ends.
func at(curve []point, wait float64) (point, bool) {
	for i := range curve {
		if i == 0 || curve[i].wait < wait || wait < curve[0].wait {
			continue
		}
		a, b := curve[i-1], curve[i]
		f := math.Log(wait/a.wait) / math.Log(b.wait/a.wait)
		between := func(x, y float64) float64 { return math.Exp(math.Log(x) + f*(math.Log(y)-math.Log(x))) }
		return point{wait, between(a.mean, b.mean), between(a.p95, b.p95), between(a.p99, b.p99)}, true
	}
	return point{}, false
}

// resamples is how often the days are drawn anew, with replacement.
const resamples = 2000

// ratio takes the mean of days. The bound is the 95th percentile of the means of days
// drawn from them.
func ratio(days []float64) Ratio {
	if len(days) == 0 {
		return Ratio{math.NaN(), math.NaN()}
	}
	slices.Sort(days) // whatever order they came in
	rng := rand.New(rand.NewPCG(1, 2))
	means := make([]float64, resamples)
	for i := range means {
		for range days {
			means[i] += days[rng.IntN(len(days))] / float64(len(days))
		}
	}
	slices.Sort(means)
	return Ratio{meanOf(days), means[resamples*95/100]}
}

// Means are the means over the days of each point of each policy.
func Means(samples []Sample, world string) []Sample {
	var out []Sample
	days := make(map[int]float64)
	for i := range samples {
		s := &samples[i]
		if s.World != world {
			continue
		}
		j := slices.IndexFunc(out, func(o Sample) bool { return o.Policy == s.Policy && o.Knob == s.Knob })
		if j < 0 {
			j = len(out)
			out = append(out, Sample{World: world, Policy: s.Policy, Knob: s.Knob})
		}
		days[j]++
		d := &out[j].Day
		d.Tickets, d.Left = d.Tickets+s.Day.Tickets, d.Left+s.Day.Left
		d.WaitMean, d.SpreadMean = d.WaitMean+s.Day.WaitMean, d.SpreadMean+s.Day.SpreadMean
		d.SpreadP95, d.WaitP99 = d.SpreadP95+s.Day.SpreadP95, d.WaitP99+s.Day.WaitP99
	}
	for j := range out {
		d := &out[j].Day
		d.WaitMean, d.SpreadMean = d.WaitMean/days[j], d.SpreadMean/days[j]
		d.SpreadP95, d.WaitP99 = d.SpreadP95/days[j], d.WaitP99/days[j]
	}
	return out
}
