package queues

import (
	"errors"
	"io/fs"
	"path"

	"torikumi/pkg/ruleset"
)

// checkRuleSet reads the rule set, and sees that the queue has no other rules.
func (q *Queue) checkRuleSet(bad func(field, rule string, args ...any), read reader, checks ruleset.Checks) {
	const both = "must not be there beside rule_set, which says it"
	if q.Teams != nil {
		bad("teams", both)
	}
	if q.Skill != (Skill{}) {
		bad("skill", both)
	}
	if q.Bots != 0 {
		bad("bots", both)
	}
	if q.MaxLatencyMS != 0 {
		bad("max_latency_ms", both+" (a rule of type latency)")
	}
	name := path.Clean(q.RuleSetFile)
	switch {
	case read == nil:
		bad("rule_set", "there is no folder to read %q from", q.RuleSetFile)
		return
	case !fs.ValidPath(name):
		bad("rule_set", "must be a file in the folder of the queues, with / between names, got %q", q.RuleSetFile)
		return
	}
	text, err := read(name)
	if err != nil {
		var cause *fs.PathError
		if errors.As(err, &cause) {
			err = cause.Err
		}
		bad("rule_set", "%s cannot be read: %w", q.RuleSetFile, err)
		return
	}
	set, err := ruleset.ParseWith(text, checks)
	if err != nil {
		var each ruleset.Errors
		if !errors.As(err, &each) {
			bad("rule_set", "%s: %w", q.RuleSetFile, err)
		}
		for _, e := range each {
			bad("rule_set", "%s: %w", q.RuleSetFile, e)
		}
		return
	}
	q.RuleSet, q.needs = set, needs(&set.Stages[0].Definition)
}

// Needs is what each player has to bring to be matched at all. What a queue
// without a rule set reads may be missing.
type Needs struct {
	// Attributes without a default that a rule reads.
	Attributes []ruleset.Attribute
	// Region reports whether a rule limits the latency: a search has to name its
	// region, or somebody's latencies.
	Region bool
}

// Needs of a search that has just begun. It is shared, not to be changed.
func (q Queue) Needs() Needs { return q.needs }

func needs(d *ruleset.Definition) Needs {
	var n Needs
	for _, name := range d.UsedAttributes() {
		if a, ok := d.Attribute(name); ok && a.Default == nil {
			n.Attributes = append(n.Attributes, a)
		}
	}
	for i, demanded := range d.Demanded() {
		n.Region = n.Region || (demanded && d.Rules[i].Kind == ruleset.Latency)
	}
	return n
}

// Attributes that the queue's rule set declares; none without one.
func (q Queue) Attributes() []ruleset.Attribute {
	if q.RuleSet == nil {
		return nil
	}
	return q.RuleSet.Stages[0].Attributes
}

// AttributeNames are those of Attributes.
func (q Queue) AttributeNames() []string {
	var names []string
	for _, a := range q.Attributes() {
		names = append(names, a.Name)
	}
	return names
}
