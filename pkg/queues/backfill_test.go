package queues_test

import (
	"maps"
	"strings"
	"testing"
	"time"

	"torikumi/pkg/queues"
)

// filling is a queues.yaml with a queue of the rule set duel.
func filling(fields string) []byte {
	return []byte("queues: [{name: duel, rule_set: rules/duel.json, " + fields + "}]")
}

func TestBackfill(t *testing.T) {
	for fields, want := range map[string]*queues.Backfill{
		"regions: [eu]": nil,
		"backfill: {}":  {Reserve: queues.Duration{Duration: queues.DefaultReserve}},
		"backfill: {automatic: true, reserve: 45s}": {Automatic: true, Reserve: queues.Duration{Duration: 45 * time.Second}},
	} {
		s, err := queues.ParseFS(filling(fields), files(duel))
		if err != nil {
			t.Fatal(fields, err)
		}
		q := s.Queues[0]
		if (q.Backfill == nil) != (want == nil) || want != nil && *q.Backfill != *want {
			t.Errorf("%s: %+v, want %+v", fields, q.Backfill, want)
		}
		p := q.Policy()
		if (p == nil) != (want == nil) || want != nil && (p.GetAutomatic() != want.Automatic || p.GetReserve().AsDuration() != want.Reserve.Duration) {
			t.Errorf("%s: the gate is told %v", fields, p)
		}
		// Three are in a team after 20 s.
		if got := q.TeamSizes(); !maps.Equal(got, map[string]int{"side_1": 3, "side_2": 3}) {
			t.Errorf("sizes: %v", got)
		}
	}
}

func TestBackfillRefuses(t *testing.T) {
	shared := "allocation: {selectors: [{state: Allocated, lists: {players: {min_available: $(players)}}}, {}], lists: {players: {add_values: [$(players)]}}}"
	for _, c := range []struct{ text, want string }{
		{string(filling("backfill: {reserve: 9s}")), "queues[0].backfill.reserve: must be from 10s to 1h0m0s, got 9s"},
		{string(filling("backfill: {reserve: -1s}")), "queues[0].backfill.reserve: must be from 10s to 1h0m0s, got -1s"},
		{string(filling("backfill: {reserve: soon}")), "queues[0].backfill.reserve"},
		{string(filling("backfill: {more: 1}")), "queues[0].backfill.more"},
		{string(filling("backfill: true")), "queues[0].backfill"},
		{string(filling("backfill: {}, " + shared)), "queues[0].backfill: must not be there with state Allocated in a selector"},
		{string(filling("backfill: {}, allocation: {match_data: {max_bytes: 65537}}")), "queues[0].backfill: must not be there with allocation.match_data.max_bytes above 65536"},
		{"queues: [{name: a, teams: [{name: a, players: 4}], skill: {attribute: s}, backfill: {}}]", "queues[0].backfill: must not be there without rule_set"},
	} {
		_, err := queues.ParseFS([]byte(c.text), files(duel))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v does not say %q", c.text, err, c.want)
		}
	}
}
