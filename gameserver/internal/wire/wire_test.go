package wire_test

import (
	"strings"
	"testing"

	"torikumi/gameserver/internal/wire"
)

func TestParse(t *testing.T) {
	tests := map[string]struct {
		verb, arg string
		ok        bool
	}{
		"JOIN abc":           {"JOIN", "abc", true},
		"LEAVE":              {"LEAVE", "", true},
		"LEAVE\r\n":          {"LEAVE", "", true},
		"PING 1\nlater":      {"PING", "1", true},
		"ROSTER {\"a\": 1}":  {"ROSTER", `{"a": 1}`, true},
		"":                   {},
		"\n":                 {},
		" JOIN x":            {},
		"join x":             {},
		"JOIN\x00 x":         {},
		"JOIN \xff":          {},
		"ABCDEFGHIJKLMNOPQR": {},
	}
	for in, want := range tests {
		verb, arg, ok := wire.Parse([]byte(in))
		if verb != want.verb || arg != want.arg || ok != want.ok {
			t.Errorf("%q: %q %q %v", in, verb, arg, ok)
		}
	}
}

func TestLongRosterFits(t *testing.T) {
	var all []wire.Player
	for range 100 {
		all = append(all, wire.Player{Player: strings.Repeat("p", 128), Team: strings.Repeat("t", 64)})
	}
	var body wire.RosterBody
	b := wire.EncodeFitting(wire.Roster, &body, all, func(some []wire.Player, omitted int) { body.Players, body.Omitted = some, omitted })
	if len(b) > wire.MaxReply || len(body.Players) == 0 || len(body.Players)+body.Omitted != 100 {
		t.Errorf("%d bytes with %d players, %d omitted", len(b), len(body.Players), body.Omitted)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("JOIN a.b.c"))
	f.Add([]byte("PING 7\nx"))
	f.Fuzz(func(t *testing.T, b []byte) {
		verb, arg, ok := wire.Parse(b)
		if !ok {
			return
		}
		if strings.ContainsAny(verb+arg, "\n") || verb == "" {
			t.Errorf("%q: %q %q", b, verb, arg)
		}
		again := verb
		if arg != "" {
			again += " " + arg
		}
		if v, a, ok := wire.Parse([]byte(again)); !ok || v != verb || (a != arg && !strings.HasSuffix(arg, "\r")) {
			t.Errorf("%q does not survive: %q %q", again, v, a)
		}
		if wire.PlainToken(arg) && strings.ContainsAny(arg, " \r\n\"\\") {
			t.Errorf("%q passes for a token", arg)
		}
	})
}
