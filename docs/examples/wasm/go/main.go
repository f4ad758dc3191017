// Command rematch is a rule as a WebAssembly module: players who met lately do
// not meet again. The attribute "recent" of each player has the ids of those; the
// parameter is how many such pairs a match may have, 0 if it is left out.
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o rematch.wasm .
package main

import (
	"encoding/json"
	"errors"
	"slices"

	"torikumi/matchfunction/rule"
)

type rematch struct{ most uint }

// The module is served where there is one: in module_wasip1.go.
var _ rule.Factory = newRematch

func newRematch(parameters json.RawMessage) (rule.Rule, error) {
	r := new(rematch)
	if parameters != nil && json.Unmarshal(parameters, &r.most) != nil {
		return nil, errors.New("must be a whole number from 0")
	}
	return r, nil
}

// Allows implements rule.Rule.
func (r *rematch) Allows(m *rule.Match) error {
	met := uint(0)
	each(m, func(p *rule.Player) {
		recent, _ := p.List("recent")
		each(m, func(q *rule.Player) {
			if slices.Contains(recent, q.ID) {
				met++
			}
		})
	})
	if met > r.most {
		return errors.New("too many have met lately")
	}
	return nil
}

func each(m *rule.Match, do func(*rule.Player)) {
	for i := range m.Teams {
		for _, member := range m.Teams[i].Members {
			do(member.Player)
		}
	}
}

func main() {} // the match function calls the rule
