package queues_test

import (
	"strings"
	"testing"

	"torikumi/pkg/queues"
)

func TestSources(t *testing.T) {
	s, err := queues.ParseFS([]byte(`queues: [{name: duel, rule_set: rules/duel.json, attributes: {
		rating: {from: claim, claim: "https://game.example/mmr"}, level: {from: claim}, mode: {from: client}, unread: {from: service}}}]`), files(duel))
	if err != nil {
		t.Fatal(err)
	}
	q := s.Queues[0]
	for name, want := range map[string]queues.AttributeSource{
		"rating": {From: "claim", Claim: "https://game.example/mmr"}, "level": {From: "claim", Claim: "level"}, "mode": {From: "client"},
		"unread": {From: "service"}, "another": {From: "client"},
	} {
		if got := q.SourceOf(name); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}

func TestMistakesInSources(t *testing.T) {
	for yaml, want := range map[string]string{
		`rule_set: rules/duel.json, attributes: {ratting: {from: claim}}`:                                  `queues[0].attributes.ratting: must be an attribute of the rule set rules/duel.json`,
		`rule_set: rules/duel.json, attributes: {rating: {from: token}}`:                                   `queues[0].attributes.rating.from: must be client, claim or service, got "token"`,
		`rule_set: rules/duel.json, attributes: {rating: {}}`:                                              `queues[0].attributes.rating.from: must be client, claim or service, got ""`,
		`rule_set: rules/duel.json, attributes: {rating: {from: service, claim: a}}`:                       `queues[0].attributes.rating.claim: must be there with from: claim alone`,
		`rule_set: rules/duel.json, attributes: {rating: {from: claim, claim: ` + strings.Repeat("a", 257): `queues[0].attributes.rating.claim: must have at most 256 characters`,
		`teams: [{name: a, players: 1}], skill: {attribute: s}, attributes: {"a/b": {from: service}}`:      `queues[0].attributes.a/b: must have 1 to 64 characters`,
		`teams: [{name: a, players: 1}], skill: {attribute: s}, attributes: {s: claim}`:                    `queues[0].attributes.s (queue "duel"): must have fields`,
		`teams: [{name: a, players: 1}], skill: {attribute: s}, attributes: {s: {form: claim}}`:            `there is no such field, there are from, claim`,
		`teams: [{name: a, players: 1}], skill: {attribute: s}, attributes: [s]`:                           `queues[0].attributes (queue "duel"): must have fields`,
	} {
		for strings.Count(yaml, "{") > strings.Count(yaml, "}") {
			yaml += "}"
		}
		_, err := queues.ParseFS([]byte(`queues: [{name: duel, `+yaml+`}]`), files(duel))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.100s: %v, want %s", yaml, err, want)
		}
	}
}
