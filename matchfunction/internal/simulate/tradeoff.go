package simulate

import (
	"cmp"
	"fmt"
	"html"
	"io"
	"math"
	"slices"
)

// shown are the policies of a trade-off plot, in the order of their classes.
var shown = []string{Ours, "nearest first", "oldest first", "teamshooter"}

// WriteTradeOff draws a world: for each policy the mean spread by the mean wait as its
// knob turns, and how wait and spread go through the day for one point of ours and one
// of nearest first that waits about as long.
func WriteTradeOff(out io.Writer, w *World, samples []Sample) error {
	p := plot{}
	p.f(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif">`,
		plotWidth, plotHeight, plotWidth, plotHeight)
	title := fmt.Sprintf("%s: %s, %g tickets a minute", w.Name, w.About, w.Rate)
	p.f(`<title>%s</title>`, html.EscapeString(title))
	p.f(`<style>%s</style>`, plotStyle)
	p.f(`<rect class="paper" width="%d" height="%d" rx="8"/>`, plotWidth, plotHeight)
	p.text("title", 24, 32, "start", title)
	x := 24.0
	for i, name := range shown {
		p.f(`<path class="line s%d" d="M%.1f 56h34"/>`, i, x)
		p.text("label", x+42, 60.5, "start", name)
		x += 62 + 8*float64(len(name))
	}
	p.tradeOff(82, w, samples)
	p.hours(542, w, samples)
	p.f(`</svg>`)
	_, err := io.WriteString(out, p.b.String())
	return err
}

// curveOf is the mean over the days at each point of a policy's knob.
func curveOf(samples []Sample, world, name string) (curve []point, knobs []float64) {
	sums := make(map[float64]*point)
	days := make(map[float64]float64)
	for i := range samples {
		s := &samples[i]
		if s.World != world || s.Policy != name {
			continue
		}
		if sums[s.Knob] == nil {
			sums[s.Knob] = new(point)
			knobs = append(knobs, s.Knob)
		}
		days[s.Knob]++
		sums[s.Knob].wait += s.Day.WaitMean
		sums[s.Knob].mean += s.Day.SpreadMean
	}
	slices.SortFunc(knobs, func(a, b float64) int { return cmp.Compare(sums[a].wait/days[a], sums[b].wait/days[b]) })
	for _, k := range knobs {
		curve = append(curve, point{wait: sums[k].wait / days[k], mean: sums[k].mean / days[k]})
	}
	return curve, knobs
}

// logarithmic is an axis from one power of two to another.
type logarithmic struct{ low, high float64 }

func logAxis(values []float64) logarithmic {
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if v > 0 {
			lo, hi = min(lo, v), max(hi, v)
		}
	}
	if !(lo <= hi) {
		lo, hi = 1, 2
	}
	return logarithmic{math.Floor(math.Log2(lo)), max(math.Ceil(math.Log2(hi)), math.Floor(math.Log2(lo))+1)}
}

func (l logarithmic) at(v float64) float64 {
	return (math.Log2(max(v, 1e-9)) - l.low) / (l.high - l.low)
}

func (p *plot) tradeOff(left float64, w *World, samples []Sample) {
	var waits, spreads []float64
	curves := make([][]point, len(shown))
	for i, name := range shown {
		curves[i], _ = curveOf(samples, w.Name, name)
		for _, c := range curves[i] {
			waits, spreads = append(waits, c.wait), append(spreads, c.mean)
		}
	}
	xs, ys := logAxis(waits), logAxis(spreads)
	x := func(v float64) float64 { return left + panelWidth*xs.at(v) }
	y := func(v float64) float64 { return panelBottom - (panelBottom-panelTop)*ys.at(v) }
	for e := ys.low; e <= ys.high; e++ {
		p.f(`<path class="grid" d="M%.1f %.1fh%d"/>`, left, y(math.Exp2(e)), panelWidth)
		p.text("tick", left-8, y(math.Exp2(e))+4, "end", fmt.Sprintf("%g", math.Exp2(e)))
	}
	for e := xs.low; e <= xs.high; e++ {
		p.f(`<path class="axis" d="M%.1f %dv5"/>`, x(math.Exp2(e)), panelBottom)
		p.text("tick", x(math.Exp2(e)), panelBottom+20, "middle", fmt.Sprintf("%g", math.Exp2(e)))
	}
	p.frame(left, "mean wait of all who came, in seconds", "mean spread of skill")
	for i, curve := range slices.Backward(curves) {
		for j, c := range curve {
			p.f(`<circle class="d%d" cx="%.1f" cy="%.1f" r="3"/>`, i, x(c.wait), y(c.mean))
			if j > 0 {
				p.f(`<path class="line s%d" d="M%.1f %.1fL%.1f %.1f"/>`, i, x(curve[j-1].wait), y(curve[j-1].mean), x(c.wait), y(c.mean))
			}
		}
	}
}

// frame draws the axes of a panel and what they are.
func (p *plot) frame(left float64, xLabel, yLabel string) {
	p.f(`<path class="axis" d="M%.1f %dV%dH%.1f"/>`, left, panelTop, panelBottom, left+panelWidth)
	p.text("label", left+panelWidth/2, panelBottom+44, "middle", xLabel)
	p.f(`<text class="label" transform="translate(%.1f %d) rotate(-90)" text-anchor="middle">%s</text>`,
		left-44, (panelTop+panelBottom)/2, html.EscapeString(yLabel))
}

// dayKnob is the point of ours that is drawn by the hour.
const dayKnob = 0.7

func (p *plot) hours(left float64, w *World, samples []Sample) {
	ours, other := w.byHour(samples, Ours, dayKnob), w.byHour(samples, "nearest first", w.likeOurs(samples))
	most := 0.0
	for _, h := range slices.Concat(ours, other) {
		most = max(most, h.SpreadP95)
	}
	step := niceStep(most / 5)
	most = step * max(1, math.Ceil(most/step))
	count := max(2, len(ours))
	x := func(hour int) float64 { return left + panelWidth*float64(hour)/float64(count-1) }
	y := func(v float64) float64 { return panelBottom - (panelBottom-panelTop)*v/most }
	for i := 0.0; i*step <= most*(1+1e-9); i++ {
		p.f(`<path class="grid" d="M%.1f %.1fh%d"/>`, left, y(i*step), panelWidth)
		p.text("tick", left-8, y(i*step)+4, "end", fmt.Sprintf("%g", i*step))
	}
	for hour := 0; hour < count; hour += 4 {
		p.text("tick", x(hour), panelBottom+20, "middle", fmt.Sprintf("%02d:00", hour))
	}
	p.frame(left, fmt.Sprintf("hour of the day (ours at %g, nearest first waiting as long)", dayKnob), "spread, median and 95th percentile")
	for i, hours := range [][]Figures{ours, other} {
		for _, of := range []func(*Figures) float64{func(f *Figures) float64 { return f.SpreadP50 }, func(f *Figures) float64 { return f.SpreadP95 }} {
			fmt.Fprintf(&p.b, `<path class="line s%d" d="`, i)
			command := "M"
			for hour := range hours {
				if hours[hour].Matches == 0 {
					command = "M"
					continue
				}
				fmt.Fprintf(&p.b, "%s%.1f %.1f", command, x(hour), y(of(&hours[hour])))
				command = "L"
			}
			p.f(`"/>`)
		}
	}
}

// byHour is the mean over the days of what a policy made of each hour.
func (w *World) byHour(samples []Sample, name string, knob float64) []Figures {
	var out []Figures
	var days []float64
	for i := range samples {
		s := &samples[i]
		if s.World != w.Name || s.Policy != name || s.Knob != knob {
			continue
		}
		for len(out) < len(s.Hours) {
			out, days = append(out, Figures{}), append(days, 0)
		}
		for hour, f := range s.Hours {
			if f.Matches > 0 {
				days[hour]++
				out[hour].Matches += f.Matches
				out[hour].SpreadP50 += f.SpreadP50
				out[hour].SpreadP95 += f.SpreadP95
			}
			out[hour].Tickets += f.Tickets
		}
	}
	for hour := range out {
		out[hour].SpreadP50 /= max(1, days[hour])
		out[hour].SpreadP95 /= max(1, days[hour])
	}
	return out
}

// likeOurs is the point of nearest first that waits about as long as ours by the hour.
func (w *World) likeOurs(samples []Sample) float64 {
	curve, knobs := curveOf(samples, w.Name, Ours)
	i := slices.Index(knobs, dayKnob)
	if i < 0 {
		return 0
	}
	others, scales := curveOf(samples, w.Name, "nearest first")
	best := -1
	for j, c := range others {
		if best < 0 || math.Abs(math.Log(c.wait/curve[i].wait)) < math.Abs(math.Log(others[best].wait/curve[i].wait)) {
			best = j
		}
	}
	if best < 0 {
		return 0
	}
	return scales[best]
}
