package ruleset

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// expansion is a property of some rules, some teams or the algorithm that
// takes other values as a match waits.
type expansion struct {
	// section is "rules", "teams" or "algorithm"; items are the positions in
	// the first two.
	section  string
	items    []int
	property string
	steps    []step
}

type step struct {
	after time.Duration
	value *node
}

type expansions []expansion

var (
	expansionProperties = []string{"target", "steps"}
	stepProperties      = []string{"waitTimeSeconds", "value"}
	// The properties that can be expanded, but those of rules, which depend on
	// their types.
	teamTargets      = []string{"minPlayers", "maxPlayers"}
	algorithmTargets = []string{"batchingPreference", "sortByAttributes", "balancedAttribute", "backfillPriority"}
)

// apply returns the text as it stands after a wait.
func (es expansions) apply(root *node, wait time.Duration) *node {
	for _, e := range es {
		var due *node
		for _, s := range e.steps {
			if s.after <= wait {
				due = s.value
			}
		}
		if due == nil {
			continue
		}
		section := root.get(e.section)
		if e.section == "algorithm" {
			root = root.with(e.section, section.with(e.property, due))
			continue
		}
		for _, i := range e.items {
			section = section.withItem(i, section.items[i].with(e.property, due))
		}
		root = root.with(e.section, section)
	}
	return root
}

// expansions reads the section of this name. What is left out was reported.
func (d *decoder) expansions(root *node) expansions {
	list := root.get("expansions")
	if list == nil {
		return nil
	}
	var out expansions
	expanded := map[string]bool{}
	for _, n := range d.array(list) {
		if !d.object(n, expansionProperties) {
			continue
		}
		e := expansion{}
		target := d.need(n, "target")
		ok := false
		if _, isText := d.text(target); isText {
			ok = d.target(root, target, &e)
		}
		if steps := d.need(n, "steps"); steps != nil {
			e.steps = d.steps(steps)
		}
		if ok && d.expandedOnce(target, e, expanded) {
			out = append(out, e)
		}
	}
	return out
}

// expandedOnce refuses what two expansions would change.
func (d *decoder) expandedOnce(target *node, e expansion, seen map[string]bool) bool {
	items := e.items
	if e.section == "algorithm" {
		items = []int{0}
	}
	for _, i := range items {
		key := fmt.Sprintf("%s[%d].%s", e.section, i, e.property)
		if seen[key] {
			d.fail(target, "%s is expanded twice; put all steps in one expansion", key)
			return false
		}
		seen[key] = true
	}
	return true
}

func (d *decoder) steps(list *node) []step {
	var out []step
	last := time.Duration(-1)
	for _, n := range d.some(list, "step") {
		if !d.object(n, stepProperties) {
			continue
		}
		at := d.need(n, "waitTimeSeconds")
		value := d.need(n, "value")
		wait, ok := d.seconds(at, 0)
		if !ok {
			continue
		}
		if wait <= last {
			d.fail(at, "waits have to rise from step to step: %d s is not after %d s", wait/time.Second, last/time.Second)
			continue
		}
		last = wait
		if value != nil {
			out = append(out, step{wait, value})
		}
	}
	return out
}

var targetText = regexp.MustCompile(`^(\s*)(\w+)\s*(?:\[([^\]]*)\])?\s*\.\s*(\w+)\s*$`)

// target reads what an expansion changes, such as "rules[FairSkill].maxDistance".
func (d *decoder) target(root, n *node, e *expansion) bool {
	m := targetText.FindStringSubmatchIndex(n.text)
	if m == nil {
		d.fail(n, `must be "rules[NAME].PROPERTY", "teams[NAME].PROPERTY" or "algorithm.PROPERTY", not %q`, shorten(n.text))
		return false
	}
	part := func(i int) string { return n.text[m[2*i]:m[2*i+1]] }
	at := func(i int) position { return n.inside(utf8.RuneCountInString(n.text[:m[2*i]])) }
	e.section, e.property = part(2), part(4)
	bracketed := m[6] >= 0
	switch {
	case (e.section == "rules" || e.section == "teams") && !bracketed:
		d.fail(n, "must name what to expand: %s[NAME].%s", e.section, e.property)
		return false
	case e.section == "algorithm" && bracketed:
		d.fail(n, "must be algorithm.%s, without a name", e.property)
		return false
	}
	switch e.section {
	case "rules":
		return d.targetRules(root, n, e, part(3), at)
	case "teams":
		return d.targetTeams(root, n, e, part(3), at)
	case "algorithm":
		return d.targetAlgorithm(root, n, e, at)
	}
	d.failAt(at(2), n.path, "%q can't be expanded; rules, teams and algorithm can", shorten(e.section))
	return false
}

func (d *decoder) targetAlgorithm(root, n *node, e *expansion, at func(int) position) bool {
	section := root.get("algorithm")
	if section == nil || section.kind != isObject {
		d.fail(n, "there is no algorithm to expand")
		return false
	}
	if !slices.Contains(algorithmTargets, e.property) {
		d.failAt(at(4), n.path, "the algorithm's %s can't be expanded, only %s can", e.property, strings.Join(algorithmTargets, ", "))
		return false
	}
	return true
}

// named finds the items of a list by names, as "Red" or "Red, Blue" or "*".
func (d *decoder) named(list, n *node, names string, start position, what string) ([]int, bool) {
	byName := map[string]int{}
	var known []string
	if list != nil {
		for i, item := range list.items {
			if v := item.get("name"); v != nil && v.kind == isString {
				if _, there := byName[v.text]; !there {
					byName[v.text] = i
					known = append(known, v.text)
				}
			}
		}
	}
	if i, ok := byName[names]; ok {
		return []int{i}, true
	}
	var out []int
	if strings.TrimSpace(names) == "*" {
		for _, k := range known {
			out = append(out, byName[k])
		}
		slices.Sort(out)
		return out, len(out) > 0
	}
	ok := true
	for _, name := range strings.Split(names, ",") {
		name = strings.TrimSpace(name)
		i, there := byName[name]
		switch {
		case !there:
			hint := didYouMean
			if what == "team" {
				hint = whichTeam
			}
			d.failAt(start, n.path, "there is no %s %q%s", what, shorten(name), hint(name, known))
			ok = false
		case slices.Contains(out, i):
			d.failAt(start, n.path, "%s %q is named twice", what, name)
			ok = false
		default:
			out = append(out, i)
		}
	}
	return out, ok
}

func (d *decoder) targetTeams(root, n *node, e *expansion, names string, at func(int) position) bool {
	var ok bool
	e.items, ok = d.named(root.get("teams"), n, names, at(3), "team")
	if !slices.Contains(teamTargets, e.property) {
		d.failAt(at(4), n.path, "a team's %s can't be expanded, only %s can%s", e.property, strings.Join(teamTargets, " and "),
			didYouMean(e.property, teamTargets))
		ok = false
	}
	return ok
}

func (d *decoder) targetRules(root, n *node, e *expansion, names string, at func(int) position) bool {
	list := root.get("rules")
	var ok bool
	e.items, ok = d.named(list, n, names, at(3), "rule")
	for _, i := range e.items {
		kind := list.items[i].get("type")
		if kind == nil || kind.kind != isString {
			continue
		}
		info := Kind(kind.text).info()
		switch {
		case info == nil:
		case info.kind == Compound:
			d.failAt(at(3), n.path, "a compound rule can't be expanded; expand the rules that it names")
			ok = false
		case !slices.Contains(info.properties, e.property):
			d.failAt(at(4), n.path, "%s of %s can't be expanded, only %s can%s", e.property, info.kind.name(),
				strings.Join(info.properties, ", "), didYouMean(e.property, info.properties))
			ok = false
		}
	}
	return ok
}
