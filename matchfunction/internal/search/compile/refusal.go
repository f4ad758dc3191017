package compile

import (
	"fmt"

	"torikumi/matchfunction/internal/search/pool"
	"torikumi/pkg/ruleset"
)

// Refusal is a part of why a ticket fits no match whoever else waits.
type Refusal struct {
	// Rule is the rule that refuses the ticket, Kind its type; empty if an
	// attribute is missing or wrong.
	Rule string
	Kind ruleset.Kind
	// Attribute is the one that the rule reads, or that is missing or wrong.
	Attribute string
	// Want is the type of an attribute that is missing or wrong. Got is that of
	// the value; empty if there is none, and the same as Want for a number that
	// is not finite.
	Want, Got ruleset.AttributeType
	// Lacks reports whether a latency rule needs latencies or a region, and the
	// ticket has neither; LacksSome, whether some of its players have latencies and
	// there is no region to which all have one.
	Lacks, LacksSome bool
	// Threshold is that of a latency rule, where there is a region at all.
	Threshold
	// Asks is what a comparison asks of the attribute, as ">= 10", and Has the
	// value of the ticket in the way; Asks is empty where that is not known.
	Asks string
	Has  float64
	// Among reports whether the players of the party break the rule among themselves.
	Among bool
}

// Refusals say what a ticket's flaw comes from, as far as it is known.
func (pl *Plan) Refusals(p *pool.Pool, t int32, reason pool.Reason) []Refusal {
	switch reason {
	case pool.BadAttribute:
		return pl.wrongAttributes(p, t)
	case pool.BadRegion:
		return pl.tooFar(p, t)
	case pool.Divided:
		if out := pl.shutOut(p, t); len(out) > 0 {
			return out
		}
		return pl.disagreements(p, t)
	}
	return nil
}

// wrongAttributes are those that rules read and a player lacks, or has with
// another type.
func (pl *Plan) wrongAttributes(p *pool.Pool, t int32) []Refusal {
	var out []Refusal
	for c := range p.Schema.Size() {
		if p.Lacks(t)&pl.requires&(1<<c) != 0 {
			a := p.Schema.Attribute(c)
			// The first player who has it wrong says more than one who has it not.
			out = append(out, Refusal{Attribute: a.Name, Want: a.Type, Got: p.Wrong(c, t)})
		}
	}
	return out
}

// tooFar are the latency rules that need a region where the ticket has none, or else those
// that no region is near enough for: each by itself, or all of them together.
func (pl *Plan) tooFar(p *pool.Pool, t int32) []Refusal {
	if some := p.Named(t) && pl.needsRegion && !measured(p, t); some || !p.Named(t) {
		return pl.regionless(p, t, some)
	}
	var alone, together []Refusal
	for _, l := range pl.limits {
		r := Refusal{Rule: l.rule.Name, Kind: l.rule.Kind, Threshold: Threshold{Most: l.most, Needed: pl.nearestLatency(p, l.aggregation, t), limit: latencyOf}}
		if r.Needed > l.most {
			alone = append(alone, r)
		}
		r.Threshold = Threshold{} // some region is near enough for it
		together = append(together, r)
	}
	if len(alone) > 0 {
		return alone
	}
	return together
}

// regionless are the latency rules, for a ticket that they find no region of.
func (pl *Plan) regionless(p *pool.Pool, t int32, some bool) []Refusal {
	var out []Refusal
	for i, demanded := range pl.Definition.Demanded() {
		if r := &pl.Definition.Rules[i]; demanded && r.Kind == ruleset.Latency {
			out = append(out, Refusal{Rule: r.Name, Kind: r.Kind, Lacks: !p.Named(t), LacksSome: some})
		}
	}
	return out
}

// measured reports whether there is a region that a ticket can be played in to
// which all of its players have latencies, as far as any has.
func measured(p *pool.Pool, t int32) bool {
	for r := range p.Regions {
		if p.Playable(t, r, true) {
			return true
		}
	}
	return false
}

// shutOut are the rules that keep a ticket out of every team: each that does by
// itself, or else all that do together.
func (pl *Plan) shutOut(p *pool.Pool, t int32) []Refusal {
	if p.Tickets[t].Teams != nil || len(pl.fits) == 0 || pl.mayBeIn(p, t) != (SlotSet{}) {
		return nil
	}
	var alone, together []Refusal
	fits := pl.fits
	for i := range fits {
		// A rule with several measurements has several fits.
		if i > 0 && fits[i].rule == fits[i-1].rule {
			continue
		}
		of := *pl
		of.fits = nil
		broken := -1
		for j := i; j < len(fits) && fits[j].rule == fits[i].rule; j++ {
			of.fits = append(of.fits, fits[j])
			for player := p.First[t]; broken < 0 && player < p.First[t+1]; player++ {
				if !fits[j].ok(p, player) {
					broken = j
				}
			}
		}
		if broken < 0 {
			continue
		}
		r := Refusal{Rule: fits[i].rule.Name, Kind: fits[i].rule.Kind, Attribute: p.Schema.Attribute(fits[broken].column).Name}
		if rule := fits[i].rule; rule.Kind == ruleset.Comparison && fits[broken].scalar == numbers && rule.Reference != nil && rule.Reference.Literal != nil && rule.Reference.Literal.Number != nil {
			r.Asks = fmt.Sprintf("%s %g", rule.Operation, *rule.Reference.Literal.Number)
			for player := p.First[t]; player < p.First[t+1]; player++ {
				if !fits[broken].ok(p, player) {
					r.Has = p.Numbers[fits[broken].column][player]
					break
				}
			}
		}
		together = append(together, r)
		if of.mayBeIn(p, t) == (SlotSet{}) {
			alone = append(alone, r)
		}
	}
	if len(alone) > 0 {
		return alone
	}
	return together
}

// disagreements are the rules by which all players of a match have the same,
// where those of the ticket do not.
func (pl *Plan) disagreements(p *pool.Pool, t int32) []Refusal {
	var out []Refusal
	for _, e := range pl.equals {
		for i := p.First[t] + 1; i < p.First[t+1]; i++ {
			if p.Differ(e.column, i, p.First[t]) {
				out = append(out, Refusal{Rule: e.rule.Name, Kind: e.rule.Kind, Attribute: p.Schema.Attribute(e.column).Name, Among: true})
				break
			}
		}
	}
	return out
}
