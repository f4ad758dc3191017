package simulate

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// Parties says how often parties of each size come. The zero value is nobody.
type Parties struct {
	sizes  []int
	shares []float64 // sum to 1
}

// ParseParties reads sizes and their weights, such as "1:0.6,2:0.3,5:0.1".
func ParseParties(text string) (Parties, error) {
	var p Parties
	sum := 0.0
	for part := range strings.SplitSeq(text, ",") {
		size, share, ok := strings.Cut(strings.TrimSpace(part), ":")
		n, sizeErr := strconv.Atoi(size)
		w, shareErr := strconv.ParseFloat(share, 64)
		if !ok || sizeErr != nil || shareErr != nil || n < 1 || n > ruleset.MaxPlayers || w < 0 || math.IsInf(w, 0) || math.IsNaN(w) {
			return Parties{}, fmt.Errorf(`must be SIZE:SHARE,…, such as "1:0.6,2:0.4", with sizes from 1 to %d and shares that are numbers of at least 0`, ruleset.MaxPlayers)
		}
		if slices.Contains(p.sizes, n) {
			return Parties{}, fmt.Errorf("must have each size once, %d is there twice", n)
		}
		p.sizes, p.shares = append(p.sizes, n), append(p.shares, w)
		sum += w
	}
	if sum <= 0 || math.IsInf(sum, 0) {
		return Parties{}, errors.New("must have a share above 0")
	}
	for i := range p.shares {
		p.shares[i] /= sum
	}
	return p, nil
}

// Largest is the size of the largest party.
func (p Parties) Largest() int { return slices.Max(append([]int{0}, p.sizes...)) }

func (p Parties) pick(rng *rand.Rand) int {
	x := rng.Float64()
	for i, share := range p.shares {
		if x -= share; x < 0 {
			return p.sizes[i]
		}
	}
	return p.sizes[len(p.sizes)-1]
}

// Generator makes up tickets that fit what a rule set declares: numbers are
// normal around their default, or 1500 (deviation 200), or what a rule wants
// them to equal, strings are the words that the rules name and a few more, and
// there are latencies to four regions if a rule asks for latencies. The players of a party are alike.
type Generator struct {
	rng     *rand.Rand
	parties Parties
	traits  []trait
	latency bool
	count   int
}

// trait is how an attribute is made up.
type trait struct {
	ruleset.Attribute
	*ruleset.Want
}

// NewGenerator makes a generator; the same seed makes the same tickets.
func NewGenerator(rs *ruleset.RuleSet, parties Parties, seed uint64) *Generator {
	g := &Generator{rng: rand.New(rand.NewPCG(seed, 0)), parties: parties}
	wants := ruleset.NewWants(rs.Stages)
	for _, a := range rs.Stages[0].Attributes {
		t := trait{a, wants.Of(a.Name)}
		t.fill()
		g.traits = append(g.traits, t)
	}
	g.latency = wants.SameLatency || !math.IsInf(wants.MaxLatency, 1)
	return g
}

// fill adds words to those that the rules name.
func (t *trait) fill() {
	if t.Default != nil {
		if t.Type == ruleset.String {
			t.Add(t.Default.String)
		}
		t.Add(t.Default.List...)
	}
	more := []string{"amber", "birch", "coral", "dune"}
	t.Add(more[:max(1, 3-len(t.Words))]...)
	if t.Distinct {
		t.Add(more...)
	}
}

// Ticket makes the next ticket.
func (g *Generator) Ticket(created time.Time) rule.Ticket {
	g.count++
	t := rule.Ticket{ID: fmt.Sprintf("t%d", g.count), Created: created, Players: make([]rule.Player, g.parties.pick(g.rng))}
	first := g.player()
	for i := range t.Players {
		p := first
		if i > 0 {
			p = g.friend(&first)
		}
		p.ID = fmt.Sprintf("p%d", g.count)
		if len(t.Players) > 1 {
			p.ID = fmt.Sprintf("p%d.%d", g.count, i+1)
		}
		t.Players[i] = p
	}
	return t
}

func (g *Generator) player() rule.Player {
	var p rule.Player
	for i := range g.traits {
		t := &g.traits[i]
		p.Attributes = append(p.Attributes, rule.Attribute{Name: t.Name, Value: g.value(t)})
	}
	if g.latency {
		p.Latencies = g.latencies()
	}
	return p
}

func (g *Generator) value(t *trait) ruleset.Value {
	v := ruleset.Value{Type: t.Type}
	switch t.Type {
	case ruleset.Number:
		if i := g.rng.IntN(2 + len(t.Exact)); i < len(t.Exact) {
			v.Number = t.Exact[i]
			break
		}
		center, deviation := t.scale()
		v.Number = hundredths(center + deviation*g.rng.NormFloat64())
		if math.IsInf(v.Number, 0) {
			v.Number = center // at the end of the numbers
		}
		if center == 0 {
			v.Number = math.Abs(v.Number) // a count, such as hours
		}
	case ruleset.String:
		v.String = t.Words[g.rng.IntN(len(t.Words))]
	case ruleset.StringList:
		v.List = []string{}
		for _, w := range t.Words {
			if g.rng.IntN(2) == 0 {
				v.List = append(v.List, w)
			}
		}
		if len(v.List) == 0 {
			v.List = append(v.List, t.Words[g.rng.IntN(len(t.Words))])
		}
	default:
		v.Map = make(map[string]float64, len(t.Words))
		for _, w := range t.Words {
			v.Map[w] = float64(g.rng.IntN(101))
		}
	}
	return v
}

// scale is the mean and the deviation of a number.
func (t *trait) scale() (center, deviation float64) {
	const mean, sd = 1500.0, 200.0
	switch {
	case t.Default == nil:
		return mean, sd
	case t.Default.Number == 0:
		return 0, 10
	default:
		return t.Default.Number, math.Abs(t.Default.Number) * (sd / mean)
	}
}

func hundredths(x float64) float64 {
	if r := math.Round(x*100) / 100; !math.IsInf(r, 0) {
		return r
	}
	return x
}

// friend is a player of the same party: numbers are near, strings the same
// unless a rule wants them to differ.
func (g *Generator) friend(of *rule.Player) rule.Player {
	p := rule.Player{Latencies: of.Latencies}
	for i := range g.traits {
		t := &g.traits[i]
		v := g.value(t)
		switch before := of.Attributes[i].Value; {
		case t.Type == ruleset.Number && len(t.Exact) == 0:
			v.Number = hundredths(0.75*before.Number + 0.25*v.Number)
		case t.Type == ruleset.String && !t.Distinct:
			v.String = before.String
		}
		p.Attributes = append(p.Attributes, rule.Attribute{Name: t.Name, Value: v})
	}
	return p
}

var regions = [...]string{"ap-northeast-1", "eu-west-1", "sa-east-1", "us-east-1"}

// latencies are those of a player near one of the regions, in whole
// milliseconds.
func (g *Generator) latencies() []rule.Latency {
	out := make([]rule.Latency, len(regions))
	home := g.rng.IntN(len(regions))
	for i, region := range regions {
		ms := 15 + 45*g.rng.Float64()
		if i != home {
			ms += 40 + 140*g.rng.Float64()
		}
		out[i] = rule.Latency{Region: region, Milliseconds: math.Round(ms)}
	}
	return out
}

// Tickets makes n tickets that came in the minute before an instant, the
// oldest first.
func (g *Generator) Tickets(n int, until time.Time) []rule.Ticket {
	ages := make([]time.Duration, n)
	for i := range ages {
		ages[i] = time.Duration(g.rng.Int64N(int64(time.Minute/time.Millisecond))) * time.Millisecond
	}
	slices.Sort(ages)
	slices.Reverse(ages)
	out := make([]rule.Ticket, n)
	for i := range out {
		out[i] = g.Ticket(until.Add(-ages[i]))
	}
	return out
}
