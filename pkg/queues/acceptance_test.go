package queues_test

import (
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"torikumi/pkg/queues"
)

func TestAcceptance(t *testing.T) {
	const duel = "queues: [{name: duel, teams: [{name: a, players: 2}], skill: {attribute: s}"
	for text, want := range map[string]string{
		duel + "}]": "",
		duel + ", acceptance: {time_limit: 5s}}]":                                                       "",
		duel + ", acceptance: {}}]":                                                                     "queues[0].acceptance.time_limit: must be at least 5s, got 0s",
		duel + ", acceptance: {time_limit: 4999ms}}]":                                                   "queues[0].acceptance.time_limit: must be at least 5s, got 4.999s",
		duel + ", acceptance: {time_limit: -15s}}]":                                                     "must be at least 5s, got -15s",
		duel + ", acceptance: {time_limit: soon}}]":                                                     "queues[0].acceptance.time_limit",
		duel + ", acceptance: {limit: 15s}}]":                                                           "queues[0].acceptance.limit",
		"queues: [{name: duel, rule_set: duel.json, backfill: {}, acceptance: {time_limit: 15s}}]":      "queues[0].acceptance: must not be there with backfill",
		"queues: [{name: duel, rule_set: duel.json, acceptance: {time_limit: 15s}}]":                    "",
		"queues: [{name: duel, rule_set: duel.json, acceptance: {time_limit: 15s}, smallest_match: 1}]": "",
	} {
		set, err := queues.ParseFS([]byte(text), fstest.MapFS{"duel.json": {Data: []byte(
			`{"ruleLanguageVersion": "1.0", "teams": [{"name": "a", "minPlayers": 1, "maxPlayers": 1, "quantity": 2}]}`)}})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
		if err == nil && (set.Queues[0].AcceptTime() != 0) != strings.Contains(text, "acceptance") {
			t.Errorf("%s: %v", text, set.Queues[0].AcceptTime())
		}
	}
	set, err := queues.Parse([]byte(duel + ", acceptance: {time_limit: 1m30s}}]"))
	if err != nil || set.Queues[0].AcceptTime() != 90*time.Second {
		t.Errorf("%+v, %v", set, err)
	}
}
