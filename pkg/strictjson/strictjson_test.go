package strictjson_test

import (
	"encoding/json"
	"strings"
	"testing"

	"torikumi/pkg/strictjson"
)

type body struct {
	Token   string   `json:"token"`
	Count   int      `json:"count"`
	Players []player `json:"players"`
}

type player struct {
	Player string `json:"player"`
}

func TestDecode(t *testing.T) {
	const object = "the body must be one JSON object"
	for in, want := range map[string]string{
		`{"token":"x"}`:        "",
		" {\"token\":\"x\"}\n": "",
		`{}`:                   "",
		`{"players":[{"player":"a"},{"player":"b"}]}`: "",
		``:                              object,
		`null`:                          object,
		`[]`:                            object,
		`"x"`:                           object,
		`{"token":"x"`:                  object,
		`{"token":"x"}x`:                object,
		`{"token":"x"}{}`:               object,
		`{"token":"x",}`:                object,
		`{'token':'x'}`:                 object,
		`{"token":"x"} // c`:            object,
		`{"token":1}`:                   `member "token" must be a string`,
		`{"token":{}}`:                  `member "token" must be a string`,
		`{"count":"1"}`:                 `member "count" must be a number`,
		`{"count":1.5}`:                 `member "count" must be a number`,
		`{"players":{}}`:                `member "players" must be a list`,
		`{"players":["a"]}`:             `each element of member "players" must be an object`,
		`{"players":[{"player":true}]}`: `member "players.player" must be a string`,
		`{"token":"x","more":1}`:        `member "more" is unknown: there are token, count, players`,
		`{"TOKEN":"x"}`:                 `member "TOKEN" is unknown: there are token, count, players`,
		`{"Token":"x","token":"y"}`:     `member "Token" is unknown: there are token, count, players`,
		`{"to\u212Aen":"x"}`:            "member \"to\u212Aen\" is unknown: there are token, count, players", // the Kelvin sign folds to k
		`{"token.x":1}`:                 `member "token.x" is unknown`,
		`{"token":"x","token":"y"}`:     `member "token" must be there once`,
		`{"token":"x","\u0074oken":""}`: `member "token" must be there once`,
		`{"players":[{"player":"a","player":"b"}]}`: `member "players[0].player" must be there once`,
		`{"players":[{"PLAYER":"a"}]}`:              `member "players[0].PLAYER" is unknown: there is player`,
		"{\"token\":\"\xff\"}":                      "the body must be UTF-8",
	} {
		err := strictjson.Decode([]byte(in), new(body))
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
	if err := strictjson.Decode([]byte(`{"players":3}`), new(struct{})); err == nil || err.Error() != `member "players" is unknown: this object has none` {
		t.Errorf("of nothing: %v", err)
	}
	err := strictjson.Decode([]byte(`{"`+strings.Repeat("x", 10000)+`":1}`), new(body))
	if err == nil || len(err.Error()) > 200 {
		t.Errorf("a long name is repeated: %v", err)
	}
}

// FuzzDecode: what is taken is JSON, and encoding/json reads the same.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"token":"x","players":[{"player":"a"}]}`))
	f.Add([]byte(`{"TOKEN":"x","token":"y"} {}`))
	f.Add([]byte("{\"token\":\"\xff\"}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var ours, theirs body
		if strictjson.Decode(b, &ours) != nil {
			return
		}
		if err := json.Unmarshal(b, &theirs); err != nil {
			t.Fatalf("accepted %q: %v", b, err)
		}
		a, _ := json.Marshal(ours)
		if c, _ := json.Marshal(theirs); string(a) != string(c) {
			t.Errorf("%q: %s and %s", b, a, c)
		}
	})
}
