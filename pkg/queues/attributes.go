package queues

import (
	"maps"
	"slices"

	"torikumi/pkg/ruleset"
)

// AttributeSource says where the value of an attribute has to come from.
type AttributeSource struct {
	// From is one of the constants below.
	From string `json:"from"`
	// Claim is that of FromClaim: the attribute's name when the file does not say.
	Claim string `json:"claim,omitempty"`
}

// What a value may come from. A backend of the studio's may give all of them.
const (
	// FromClient: whatever the game client says.
	FromClient = "client"
	// FromClaim: a claim of the player token, which the studio's issuer has signed.
	FromClaim = "claim"
	// FromService: a backend of the studio's alone.
	FromService = "service"
)

// maxClaim is the most characters of a claim's name.
const maxClaim = 256

// checkSources fills in defaults. A name that the rule set does not know is taken for
// a mistake, since the attribute that was meant would be anybody's to give.
func (q *Queue) checkSources(bad func(field, rule string, args ...any)) {
	for _, name := range slices.Sorted(maps.Keys(q.Sources)) {
		s, field := q.Sources[name], "attributes."+name
		if !ruleset.ValidName(name) {
			bad(field, ruleset.NameRule)
		}
		if q.RuleSet != nil && !slices.ContainsFunc(q.Attributes(), func(a ruleset.Attribute) bool { return a.Name == name }) {
			bad(field, "must be an attribute of the rule set %s", q.RuleSetFile)
		}
		switch s.From {
		case FromClaim:
			if s.Claim == "" {
				s.Claim = name
			}
			q.Sources[name] = s
		case FromClient, FromService:
			if s.Claim != "" {
				bad(field+".claim", "must be there with from: claim alone")
			}
		default:
			bad(field+".from", "must be client, claim or service, got %q", s.From)
		}
		if len(s.Claim) > maxClaim {
			bad(field+".claim", "must have at most %d characters", maxClaim)
		}
	}
}

// SourceOf returns the source of an attribute.
func (q *Queue) SourceOf(attribute string) AttributeSource {
	if s, ok := q.Sources[attribute]; ok {
		return s
	}
	return AttributeSource{From: FromClient}
}
