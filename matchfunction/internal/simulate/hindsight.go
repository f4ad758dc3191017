package simulate

import (
	"cmp"
	"container/heap"
	"math"
	"slices"
	"time"

	"torikumi/matchfunction/rule"
)

// Hindsight is what matches of one against one could have been at best, had all who
// come been known: a mean wait and a mean spread that no policy is below at once.
type Hindsight struct {
	Price float64 // of a second of waiting, in skill
	Wait  float64
	Mean  float64
}

// prices are those that the curve of hindsight is made with.
var prices = []float64{0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4}

// Hindsight is the curve for a part of a world's day, one against one. Players meet at
// the searches, as long as neither has given up. For each price of waiting it is the
// least cost of an assignment in which each player has one other: a matching is one,
// so that no matching costs less. (The reverse is not so: three in a circle are an
// assignment.)
func (o *FrontierOptions) Hindsight(w *World, seed uint64, from, to time.Duration) ([]Hindsight, error) {
	rs, err := w.Rules(0)
	if err != nil {
		return nil, err
	}
	all, err := w.arrivals(rs, min(to, o.Length), seed)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(t rule.Ticket) bool { return t.Created.Sub(midnight) < from })
	var out []Hindsight
	for _, price := range prices {
		out = append(out, o.assign(w, all, price))
	}
	return out, nil
}

// meeting is that a player meets another one, or none.
type meeting struct {
	other  int
	cost   float64
	spread float64
	wait   float64 // of the first of both
}

func (o *FrontierOptions) assign(w *World, all []rule.Ticket, price float64) Hindsight {
	skill := func(i int) float64 { v, _ := all[i].Players[0].Attribute("skill"); return v.Number }
	edges := make([][]meeting, len(all))
	for i := range all {
		alone := o.GiveUp.Seconds()
		edges[i] = append(edges[i], meeting{i, w.Window + price*alone, math.NaN(), alone})
		for j := i + 1; j < len(all); j++ {
			later := all[j].Created.Sub(midnight)
			search := (later + o.Cycle - 1).Truncate(o.Cycle)
			first, second := (search - all[i].Created.Sub(midnight)).Seconds(), (search - later).Seconds()
			if first > alone {
				break
			}
			spread := math.Abs(skill(i) - skill(j))
			if spread > w.Window {
				continue
			}
			cost := (spread + price*(first+second)) / 2
			edges[i] = append(edges[i], meeting{j, cost, spread, first})
			edges[j] = append(edges[j], meeting{i, cost, spread, second})
		}
	}
	h := Hindsight{Price: price}
	matched := 0.0
	for _, m := range cheapest(edges) {
		h.Wait += m.wait / float64(len(all))
		if !math.IsNaN(m.spread) {
			h.Mean += m.spread
			matched++
		}
	}
	h.Mean /= max(1, matched)
	return h
}

// reach is how far it is to a column.
type reach struct {
	column int
	far    float64
}

type reaches []reach

func (r reaches) Len() int           { return len(r) }
func (r reaches) Less(i, j int) bool { return r[i].far < r[j].far }
func (r reaches) Swap(i, j int)      { r[i], r[j] = r[j], r[i] }
func (r *reaches) Push(x any)        { *r = append(*r, x.(reach)) }
func (r *reaches) Pop() any {
	last := (*r)[len(*r)-1]
	*r = (*r)[:len(*r)-1]
	return last
}

// cheapest gives each row a column of its own at the least cost of all, by the
// shortest augmenting paths (Jonker and Volgenant, "A shortest augmenting path
// algorithm for dense and sparse linear assignment problems", 1987). Each row may
// have the column of its own number.
func cheapest(edges [][]meeting) []meeting {
	n := len(edges)
	row, chosen := make([]int, n), make([]meeting, n) // row by column, edge by row
	potential := make([]float64, n)                   // of columns
	for c := range row {
		row[c] = -1
	}
	far, via, done := make([]float64, n), make([]meeting, n), make([]bool, n)
	from := make([]int, n) // the row that a column is reached from
	for start := range n {
		for c := range far {
			far[c], done[c] = math.Inf(1), false
		}
		var queue reaches
		walk := func(r int, sofar, own float64) {
			for _, m := range edges[r] {
				if d := sofar + m.cost - potential[m.other] - own; !done[m.other] && d < far[m.other]-1e-12 {
					far[m.other], via[m.other], from[m.other] = d, m, r
					heap.Push(&queue, reach{m.other, d})
				}
			}
		}
		walk(start, 0, 0)
		end := -1
		var seen []int
		for end < 0 {
			next := heap.Pop(&queue).(reach)
			if done[next.column] {
				continue
			}
			done[next.column] = true
			seen = append(seen, next.column)
			if row[next.column] < 0 {
				end = next.column
				break
			}
			r := row[next.column]
			walk(r, next.far, chosen[r].cost-potential[next.column])
		}
		for _, c := range seen {
			potential[c] += far[c] - far[end]
		}
		for c := end; ; {
			r := from[c]
			before := chosen[r].other
			chosen[r], row[c] = via[c], r
			if r == start {
				break
			}
			c = before
		}
	}
	return chosen
}

// Above is by how much our mean spread on a curve is above that of hindsight at the
// same mean wait, at each of our points that lies between two of it.
func Above(ours []Sample, hours []int, of []Hindsight) []Comparison {
	curve := make([]point, len(of))
	for i, h := range of {
		curve[i] = point{h.Wait, h.Mean, h.Mean, h.Wait}
	}
	curve = undominated(curve)
	var out []Comparison
	for i := range ours {
		wait, spread, tickets, matches := 0.0, 0.0, 0, 0
		for _, hour := range hours {
			f := &ours[i].Hours[hour]
			wait, tickets = wait+f.WaitMean*float64(f.Tickets), tickets+f.Tickets
			spread, matches = spread+f.SpreadMean*float64(f.Matches), matches+f.Matches
		}
		wait, spread = wait/float64(max(1, tickets)), spread/float64(max(1, matches))
		if p, ok := at(curve, wait); ok {
			out = append(out, Comparison{World: ours[i].World, Policy: ours[i].Policy, Knob: ours[i].Knob, Wait: wait, Spread: spread, Mean: Ratio{Mean: spread / p.mean}})
		}
	}
	slices.SortFunc(out, func(a, b Comparison) int { return cmp.Or(cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.Knob, b.Knob)) })
	return out
}
