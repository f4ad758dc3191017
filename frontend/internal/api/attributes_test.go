package api

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"torikumi/pkg/problem"
	"torikumi/pkg/queues"
	"torikumi/pkg/token"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

func trusting(t testing.TB) *queues.Set {
	t.Helper()
	s, err := queues.Parse([]byte(`queues: [{name: duel, teams: [{name: a, players: 2}], skill: {attribute: skill}, attributes: {
		skill: {from: claim, claim: mmr}, roles: {from: claim}, wins: {from: claim}, clan: {from: claim}, banned: {from: service}, hat: {from: client}}}]`))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTrust(t *testing.T) {
	many := make([]any, 65)
	for i := range many {
		many[i] = "x"
	}
	claims := token.Claims{
		"mmr": json.Number("1500.5"), "roles": []any{"tank"}, "wins": map[string]any{"dust": json.Number("3")}, "clan": "owls", "hat": "red",
	}
	const attributes = `{"skill":{"number":1500.5},"roles":{"string_list":{"values":["tank"]}},"wins":{"string_number_map":{"values":{"dust":3}}},"clan":{"string":"owls"}`
	const (
		comes   = `must not be given in queue "duel": it comes from the claim "mmr" of the player token`
		backend = `must not be given in queue "duel": it comes from the game's own backend`
		wrong   = `comes from the claim "mmr" of the player token, which must be a number, a text, a list of texts or an object of numbers`
		skill   = "players[0].attributes.skill"
		alone   = `{"queue":"duel"}`
	)
	player := func(c token.Claims) Caller { return Caller{Player: "p", Claims: c} }
	mmr := func(value any) Caller { return player(token.Claims{"mmr": value}) }
	says := func(attributes string) string {
		return `{"queue":"duel","players":[{"attributes":` + attributes + `}]}`
	}
	for name, c := range map[string]struct {
		caller  Caller
		request string
		want    string // attributes
		refused problem.Field
	}{
		"from the token":       {player(claims), alone, attributes + "}", problem.Field{}},
		"and the client":       {player(claims), says(`{"hat":{"number":1},"other":{"number":2}}`), attributes + `,"hat":{"number":1},"other":{"number":2}}`, problem.Field{}},
		"a claim that is null": {mmr(nil), alone, "{}", problem.Field{}},
		"no claims":            {player(nil), alone, "{}", problem.Field{}},
		"a backend":            {Caller{Service: true, Claims: claims}, `{"queue":"duel","players":[{"id":"p","attributes":{"banned":{"number":0},"skill":{"number":7}}}]}`, `{"banned":{"number":0},"skill":{"number":7}}`, problem.Field{}},
		"the client's":         {player(claims), says(`{"skill":{"number":1}}`), "", problem.Field{Field: skill, Rule: comes}},
		"the same":             {player(claims), says(`{"skill":{"number":1500.5}}`), "", problem.Field{Field: skill, Rule: comes}},
		"not in the token":     {player(nil), says(`{"skill":{"number":1}}`), "", problem.Field{Field: skill, Rule: comes}},
		"the backend's":        {player(nil), says(`{"banned":{"number":0}}`), "", problem.Field{Field: "players[0].attributes.banned", Rule: backend}},
		"true":                 {mmr(true), alone, "", problem.Field{Field: skill, Rule: wrong}},
		"a list of numbers":    {mmr([]any{json.Number("1")}), alone, "", problem.Field{Field: skill, Rule: wrong}},
		"an object of texts":   {mmr(map[string]any{"a": "b"}), alone, "", problem.Field{Field: skill, Rule: wrong}},
		"too large":            {mmr(json.Number("1e999")), alone, "", problem.Field{Field: skill, Rule: wrong}},
		"a bad name":           {mmr(map[string]any{"a/b": json.Number("1")}), alone, "", problem.Field{Field: skill + ".string_number_map.values"}},
		"too many":             {mmr(many), alone, "", problem.Field{Field: skill + ".string_list.values", Rule: "must have at most 64 entries"}},
	} {
		t.Run(name, func(t *testing.T) {
			req := new(torikumiv1.CreateTicketRequest)
			if err := protojson.Unmarshal([]byte(c.request), req); err != nil {
				t.Fatal(err)
			}
			before := proto.CloneOf(req)
			got, err := Draft(trusting(t), c.caller, req)
			if !proto.Equal(req, before) {
				t.Error("the request was changed")
			}
			if c.refused.Field != "" {
				p := asError(err)
				if len(p.Errors) != 1 || p.Errors[0].Field != c.refused.Field || c.refused.Rule != "" && p.Errors[0] != c.refused {
					t.Errorf("got %v, want %v", p.Errors, c.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(asError(err).Errors)
			}
			want := &torikumiv1.Player{}
			if err := protojson.Unmarshal([]byte(`{"id":"p","attributes":`+c.want+`}`), want); err != nil {
				t.Fatal(err)
			}
			if !proto.Equal(got.Players[0], want) {
				t.Errorf("got %v, want %v", got.Players[0], want)
			}
		})
	}
}

// FuzzAttributeOf: every claim is one attribute that is sound, or none.
func FuzzAttributeOf(f *testing.F) {
	for _, s := range []string{`1`, `"a"`, `["a"]`, `{"a":1}`, `null`, `[]`, `{}`, `1e309`, `-0`, `[null]`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber() // as tokens are read
		var claim any
		if d.Decode(&claim) != nil {
			t.Skip()
		}
		if a, ok := attributeOf(claim); ok && (typeOf(a) == "" || math.IsInf(a.GetNumber(), 0)) {
			t.Errorf("%s: %v", text, a)
		}
	})
}
