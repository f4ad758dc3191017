package ruleset

import (
	"bytes"
	"slices"
	"time"
)

// maxWaitSeconds bounds the waits of a rule set: a day. FlexMatch gives up a
// request after half of it.
const maxWaitSeconds = 24 * 60 * 60

// The properties of a rule set.
var setProperties = []string{"name", "ruleLanguageVersion", "playerAttributes", "algorithm", "teams", "rules", "expansions"}

// bom is the byte order mark that some editors of Windows begin a file with.
var bom = []byte("\ufeff")

// Parse reads a rule set. What is wrong with it is an Errors, with all that is
// wrong at once.
//
// Comments (//… and /*…*/) and a comma after a last element are let pass, as
// FlexMatch's documentation writes its examples with them. A byte order mark
// before it all is skipped, and not in RuleSet.Text.
func Parse(text []byte) (*RuleSet, error) { return ParseWith(text, Checks{}) }

// ParseWith is Parse with checks that take more than this package has.
func ParseWith(text []byte, checks Checks) (*RuleSet, error) {
	checked := &checked{Checks: checks, seen: map[string]bool{}}
	text = bytes.TrimPrefix(text, bom)
	errs := &problems{}
	root := readTree(text, errs)
	if root == nil {
		return nil, errs.err()
	}
	rs := &RuleSet{Text: string(text)}
	first := &decoder{errs: errs}
	if first.object(root, setProperties) {
		first.header(root, rs)
		exps := first.expansions(root)
		waits := first.waits(root, exps)
		if len(waits) > MaxStages {
			first.fail(root, "changes at %d different waits, more than %d", len(waits), MaxStages)
			waits = waits[:1]
		}
		// Steps at 0 s replace what no stage has then. It has to be right all the same.
		changed := exps.apply(root, 0) != root
		if changed {
			text := &decoder{errs: errs, checks: checked}
			text.definition(root)
		}
		for _, after := range waits {
			d := &decoder{errs: errs, checks: checked, after: after, changed: changed || after > 0}
			rs.Stages = append(rs.Stages, Stage{After: after, Definition: d.definition(exps.apply(root, after))})
		}
	}
	if err := errs.err(); err != nil {
		return nil, err
	}
	return rs, nil
}

// header reads what is the same in all stages.
func (d *decoder) header(root *node, rs *RuleSet) {
	rs.Name, _ = d.text(root.get("name"))
	choice(d, d.need(root, "ruleLanguageVersion"), "1.0")
}

// waits lists when anything changes, in order and from 0. What is no wait is
// reported where it is read.
func (d *decoder) waits(root *node, exps expansions) []time.Duration {
	quiet := &decoder{errs: &problems{}}
	all := []time.Duration{0}
	collect := func(list, property string, low int) {
		n := root.get(list)
		if n == nil {
			return
		}
		for _, item := range n.items {
			if wait, ok := quiet.seconds(item.get(property), low); ok {
				all = append(all, wait)
			}
		}
	}
	collect("rules", "secondsUntilOptional", 1)
	collect("teams", "botsAfterSeconds", 0)
	for _, e := range exps {
		for _, s := range e.steps {
			all = append(all, s.after)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (d *decoder) definition(root *node) Definition {
	var def Definition
	d.def = &def
	if n := root.get("playerAttributes"); n != nil {
		d.attributes(n)
	}
	if n := d.need(root, "teams"); n != nil {
		d.teams(n)
	}
	d.algorithm(root)
	if n := root.get("rules"); n != nil {
		d.rules(n)
	}
	return def
}
