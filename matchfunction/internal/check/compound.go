package check

import (
	"fmt"
	"strings"

	"torikumi/pkg/ruleset"
)

// holds reports whether a statement is true: a rule's name, if the match keeps
// that rule.
func (j *judge) holds(s *ruleset.Statement) bool {
	trueParts := 0
	for _, part := range s.Parts {
		if j.holds(part) {
			trueParts++
		}
	}
	switch s.Connective {
	case "":
		return j.broken(s.Rule) == ""
	case ruleset.And:
		return trueParts == len(s.Parts)
	case ruleset.Or:
		return trueParts > 0
	case ruleset.Not:
		return trueParts == 0
	case ruleset.Xor:
		return trueParts == 1
	}
	panic(fmt.Sprintf("check: unknown connective %q", s.Connective))
}

// text writes a statement as in a rule set.
func (j *judge) text(s *ruleset.Statement) string {
	if s.Connective == "" {
		return j.def.Rules[s.Rule].Name
	}
	var parts []string
	for _, part := range s.Parts {
		parts = append(parts, j.text(part))
	}
	return fmt.Sprintf("%s(%s)", s.Connective, strings.Join(parts, ", "))
}
