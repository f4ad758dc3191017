package simulate

import (
	"cmp"
	"fmt"
	"html"
	"io"
	"math"
	"slices"
	"strings"
)

// The plot in pixels.
const (
	plotWidth, plotHeight = 920, 420
	panelTop, panelBottom = 96, 340
	panelWidth            = 350
)

// WritePlot draws the spreads and the waits of each strategy as an SVG: for
// each value, how many of 100 are at most that. A dot is the median.
func (d *Day) WritePlot(w io.Writer, title string) error {
	p := plot{}
	p.f(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif">`,
		plotWidth, plotHeight, plotWidth, plotHeight)
	p.f(`<title>%s</title>`, html.EscapeString(title))
	p.f(`<style>%s</style>`, plotStyle)
	p.f(`<rect class="paper" width="%d" height="%d" rx="8"/>`, plotWidth, plotHeight)
	p.text("title", 24, 32, "start", title)
	p.legend(d)
	spreads, waits := make([][]float64, len(d.Results)), make([][]float64, len(d.Results))
	for i := range d.Results {
		spreads[i] = d.Results[i].Spreads
		for _, wait := range d.Results[i].Waits {
			waits[i] = append(waits[i], wait.Seconds())
		}
	}
	p.panel(82, strings.ReplaceAll(fmt.Sprintf("spread of %s within a match", d.Attribute), "of  ", ""), "% of matches", spreads)
	p.panel(542, "wait until matched, in seconds", "% of matched tickets", waits)
	p.f(`</svg>`)
	_, err := io.WriteString(w, p.b.String())
	return err
}

// plotStyle has colours that are told apart by those who see few of them, and
// lines that differ in more than colour.
const plotStyle = `
.paper{fill:#ffffff;stroke:#d0d7de}.title{font-size:16px;font-weight:600;fill:#1f2328}
.label{font-size:13px;fill:#1f2328}.tick{font-size:12px;fill:#57606a}.grid{stroke:#d8dee4;stroke-width:1}.axis{fill:none;stroke:#57606a;stroke-width:1}
.line{fill:none;stroke-width:2.5;stroke-linejoin:round}
.s0{stroke:#0969da}.s1{stroke:#bc4c00;stroke-dasharray:8 4}.s2{stroke:#1a7f37;stroke-dasharray:2.5 3}
.s3{stroke:#8250df;stroke-dasharray:10 3 2 3}
.d0{fill:#0969da}.d1{fill:#bc4c00}.d2{fill:#1a7f37}.d3{fill:#8250df}
@media (prefers-color-scheme:dark){
.paper{fill:#0d1117;stroke:#30363d}.title,.label{fill:#e6edf3}.tick{fill:#9198a1}.grid{stroke:#262c36}.axis{stroke:#9198a1}
.s0{stroke:#58a6ff}.s1{stroke:#f0883e}.s2{stroke:#56d364}.d0{fill:#58a6ff}.d1{fill:#f0883e}.d2{fill:#56d364}
.s3{stroke:#bc8cff}.d3{fill:#bc8cff}}
`

// plot is an SVG in the making.
type plot struct{ b strings.Builder }

func (p *plot) f(format string, args ...any) {
	fmt.Fprintf(&p.b, format, args...)
	p.b.WriteByte('\n')
}

func (p *plot) text(class string, x, y float64, anchor, text string) {
	p.f(`<text class="%s" x="%.1f" y="%.1f" text-anchor="%s">%s</text>`, class, x, y, anchor, html.EscapeString(text))
}

func (p *plot) legend(d *Day) {
	x := 24.0
	for i := range d.Results {
		r := &d.Results[i]
		p.f(`<path class="line s%d" d="M%.1f 56h34"/>`, i, x)
		p.f(`<circle class="d%d" cx="%.1f" cy="56" r="4"/>`, i, x+17)
		label := fmt.Sprintf("%s (%.1f%% matched)", r.Name, d.MatchedShare(r))
		p.text("label", x+42, 60.5, "start", label)
		x += 62 + 7*float64(len(label))
	}
	p.text("tick", plotWidth-24, 60.5, "end", "dot: median")
}

// share is a part in percent, 0 of nothing.
func share(part, of int) float64 { return 100 * float64(part) / float64(max(of, 1)) }

// panel draws how the values of each strategy, in rising order, are
// distributed.
func (p *plot) panel(left float64, xLabel, yLabel string, values [][]float64) {
	highest := 0.0
	for _, v := range values {
		if len(v) > 0 {
			// The last one in a thousand would squeeze all others.
			highest = max(highest, v[(len(v)-1)*999/1000])
		}
	}
	step := niceStep(highest / 6)
	most := step * max(1, math.Ceil(highest/step))
	x := func(v float64) float64 { return left + panelWidth*min(v/most, 1) }
	y := func(percent float64) float64 { return panelBottom - (panelBottom-panelTop)*percent/100 }
	for percent := 0.0; percent <= 100; percent += 25 {
		p.f(`<path class="grid" d="M%.1f %.1fh%d"/>`, left, y(percent), panelWidth)
		p.text("tick", left-8, y(percent)+4, "end", fmt.Sprintf("%.0f", percent))
	}
	for i := 0.0; i*step <= most*(1+1e-9); i++ {
		p.f(`<path class="axis" d="M%.1f %dv5"/>`, x(i*step), panelBottom)
		p.text("tick", x(i*step), panelBottom+20, "middle", fmt.Sprintf("%g", math.Round(i*step*1e6)/1e6))
	}
	p.f(`<path class="axis" d="M%.1f %dV%dH%.1f"/>`, left, panelTop, panelBottom, left+panelWidth)
	p.text("label", left+panelWidth/2, panelBottom+44, "middle", xLabel)
	p.f(`<text class="label" transform="translate(%.1f %d) rotate(-90)" text-anchor="middle">%s</text>`,
		left-44, (panelTop+panelBottom)/2, html.EscapeString(yLabel))
	// The first strategy comes last, on top.
	for i, v := range slices.Backward(values) {
		if len(v) > 0 {
			p.curve(i, v, x, y, most)
		}
	}
}

func (p *plot) curve(class int, v []float64, x, y func(float64) float64, most float64) {
	const points = 240
	fmt.Fprintf(&p.b, `<path class="line s%d" d="M%.1f %.1f`, class, x(v[0]), y(0))
	for i := range points + 1 {
		at := i * (len(v) - 1) / points
		if v[at] > most {
			break
		}
		fmt.Fprintf(&p.b, "L%.1f %.1f", x(v[at]), y(share(at+1, len(v))))
	}
	p.f(`"/>`)
	p.f(`<circle class="d%d" cx="%.1f" cy="%.1f" r="4"/>`, class, x(Percentile(v, 50)), y(50))
}

// niceStep is the least of 1, 2 and 5 times a power of ten that is at least
// so much.
func niceStep(least float64) float64 {
	if !(least > 0) || math.IsInf(least, 0) {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(least)))
	steps := []float64{1, 2, 5, 10}
	i, _ := slices.BinarySearchFunc(steps, least/unit, func(s, t float64) int { return cmp.Compare(s, t-1e-9) })
	return steps[min(i, len(steps)-1)] * unit
}
