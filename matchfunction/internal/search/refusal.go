package search

import (
	"fmt"

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

// refusals say what a ticket's flaw comes from, as far as it is known.
func (pl *plan) refusals(p *pool, t int32, reason Reason) []Refusal {
	switch reason {
	case BadAttribute:
		return pl.wrongAttributes(p, t)
	case BadRegion:
		return pl.tooFar(p, t)
	case Divided:
		if out := pl.shutOut(p, t); len(out) > 0 {
			return out
		}
		return pl.disagreements(p, t)
	}
	return nil
}

// wrongAttributes are those that rules read and a player lacks, or has with
// another type.
func (pl *plan) wrongAttributes(p *pool, t int32) []Refusal {
	var out []Refusal
	for c := range p.schema.columns {
		a := &p.schema.columns[c].attribute
		if p.lacks[t]&pl.requires&(1<<c) == 0 {
			continue
		}
		r := Refusal{Attribute: a.Name, Want: a.Type}
		// The first player who has it wrong says more than one who has it not.
		for i := range p.tickets[t].Players {
			if v, ok := p.tickets[t].Players[i].Attribute(a.Name); ok && (v.Type != a.Type || notFinite(&v)) {
				r.Got = v.Type
				break
			}
		}
		out = append(out, r)
	}
	return out
}

// tooFar are the latency rules, where one limits the regions or needs one.
func (pl *plan) tooFar(p *pool, t int32) []Refusal {
	var out []Refusal
	for i, demanded := range pl.definition.Demanded() {
		r := &pl.definition.Rules[i]
		if !demanded || r.Kind != ruleset.Latency {
			continue
		}
		some := p.named[t] && pl.needsRegion && !p.measured(t)
		if r.MaxLatency != nil || !p.named[t] || some {
			refusal := Refusal{Rule: r.Name, Kind: r.Kind, Lacks: !p.named[t], LacksSome: some}
			if r.MaxLatency != nil && p.named[t] && !some && len(pl.limits) > 0 {
				refusal.Threshold = Threshold{Most: *r.MaxLatency, Needed: pl.nearestLatency(p, t)}
			}
			out = append(out, refusal)
		}
	}
	return out
}

// measured reports whether there is a region that a ticket can be played in to
// which all of its players have latencies, as far as any has.
func (p *pool) measured(t int32) bool {
	n := len(p.regions)
	for r, l := range p.latencies[int(t)*n : (int(t)+1)*n] {
		if l.min != far && p.unmeasured[t]&(1<<r) == 0 {
			return true
		}
	}
	return false
}

// shutOut are the rules that keep a ticket out of every team: each that does by
// itself, or else all that do together.
func (pl *plan) shutOut(p *pool, t int32) []Refusal {
	if p.tickets[t].Teams != nil || len(pl.fits) == 0 || pl.mayBeIn(p, t) != (slotSet{}) {
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
			for player := p.first[t]; broken < 0 && player < p.first[t+1]; player++ {
				if !fits[j].ok(p, player) {
					broken = j
				}
			}
		}
		if broken < 0 {
			continue
		}
		r := Refusal{Rule: fits[i].rule.Name, Kind: fits[i].rule.Kind, Attribute: p.schema.columns[fits[broken].column].attribute.Name}
		if rule := fits[i].rule; rule.Kind == ruleset.Comparison && fits[broken].scalar == numbers && rule.Reference != nil && rule.Reference.Literal != nil && rule.Reference.Literal.Number != nil {
			r.Asks = fmt.Sprintf("%s %g", rule.Operation, *rule.Reference.Literal.Number)
			for player := p.first[t]; player < p.first[t+1]; player++ {
				if !fits[broken].ok(p, player) {
					r.Has = p.numbers[fits[broken].column][player]
					break
				}
			}
		}
		together = append(together, r)
		if of.mayBeIn(p, t) == (slotSet{}) {
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
func (pl *plan) disagreements(p *pool, t int32) []Refusal {
	var out []Refusal
	for _, e := range pl.equals {
		for i := p.first[t] + 1; i < p.first[t+1]; i++ {
			if p.differ(e.column, i, p.first[t]) {
				out = append(out, Refusal{Rule: e.rule.Name, Kind: e.rule.Kind, Attribute: p.schema.columns[e.column].attribute.Name, Among: true})
				break
			}
		}
	}
	return out
}
