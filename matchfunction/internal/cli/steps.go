package cli

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"torikumi/pkg/ruleset"
)

// expansion is one of the text: where a change of a stage comes from is not
// kept when a rule set is parsed.
type expansion struct {
	section, property string
	// names is what stands in the brackets.
	names string
	waits []time.Duration
}

var expansionTarget = regexp.MustCompile(`^\s*(\w+)\s*(?:\[([^\]]*)\])?\s*\.\s*(\w+)\s*$`)

func (s *source) expansions() []expansion {
	var text struct {
		Expansions []struct {
			Target string
			Steps  []struct{ WaitTimeSeconds json.RawMessage }
		}
	}
	plain := s.tree.Clone()
	plain.Standardize()
	if json.Unmarshal(plain.Pack(), &text) != nil {
		return nil // Parse has read it, so this can't be; places are lost, nothing else
	}
	out := make([]expansion, len(text.Expansions))
	for i, e := range text.Expansions {
		if m := expansionTarget.FindStringSubmatch(e.Target); m != nil {
			out[i] = expansion{section: m[1], names: m[2], property: m[3]}
		}
		for _, step := range e.Steps {
			seconds, _ := strconv.ParseFloat(strings.Trim(string(step.WaitTimeSeconds), `"`), 64)
			out[i].waits = append(out[i].waits, time.Duration(seconds)*time.Second)
		}
	}
	return out
}

func (e *expansion) covers(section, name string) bool {
	if e.section != section {
		return false
	}
	if e.names == name || strings.TrimSpace(e.names) == "*" {
		return true
	}
	return slices.ContainsFunc(strings.Split(e.names, ","), func(n string) bool { return strings.TrimSpace(n) == name })
}

// stepPath is the path of the value that a property has from a wait on.
func (s *source) stepPath(section, name, property string, after time.Duration) string {
	for i, e := range s.expansions() {
		if e.property != property || !e.covers(section, name) {
			continue
		}
		if j := slices.Index(e.waits, after); j >= 0 {
			return fmt.Sprintf("expansions[%d].steps[%d].value", i, j)
		}
	}
	return "expansions"
}

// idleSteps finds steps of expansions after which all is as before, and those
// of rules that are optional by then.
func (s *source) idleSteps() []problem {
	var out []problem
	for i, e := range s.expansions() {
		for j, wait := range e.waits {
			at := s.rules.At(wait)
			if at == 0 || s.rules.Stages[at].After != wait {
				continue
			}
			path := fmt.Sprintf("expansions[%d].steps[%d]", i, j)
			if reflect.DeepEqual(s.rules.Stages[at-1].Definition, s.rules.Stages[at].Definition) {
				out = append(out, s.problem(path, "", fmt.Sprintf("changes nothing after %d s", wait/time.Second)))
				continue
			}
			covered := slices.DeleteFunc(slices.Clone(s.rules.Stages[at].Rules), func(r ruleset.Rule) bool { return !e.covers("rules", r.Name) })
			if len(covered) > 0 && !slices.ContainsFunc(covered, func(r ruleset.Rule) bool { return !r.Optional }) {
				out = append(out, s.problem(path, covered[len(covered)-1].Name, fmt.Sprintf("comes after %d s, when the rule is optional and demands nothing", wait/time.Second)))
			}
		}
	}
	return out
}
