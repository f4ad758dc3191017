package execcloud

import (
	"encoding/json"
	"errors"
	"testing"

	"torikumi/failover/cloud"
)

func TestNotUTF8(t *testing.T) {
	_, err := parse(verbGet, []byte("{\"version\":1,\"error\":{\"code\":\"NotFound\",\"message\":\"\xff\"}}"))
	if err == nil || errors.Is(err, cloud.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

// FuzzAnswer: whatever a program writes, an absence is only what says so word
// for word, and a result is whole.
func FuzzAnswer(f *testing.F) {
	const owner = `"owner":{"cluster":"c","node":"n","nodeUID":"u","failover":"f"}`
	for _, seed := range []string{
		`{"version":1}`,
		`{"version":1,"error":{"code":"NotFound","message":"none"}}`,
		`{"version":1,"error":{"code":"Transient","code":"NotFound"}}`,
		`{"version":1,"machine":{"name":"a","zone":"b",` + owner + `,"state":"Running","providerID":"p","created":"2026-01-02T03:04:05Z","hourlyCost":1.5}}`,
		`{"version":1,"machines":[{"name":"a","zone":"b",` + owner + `,"state":"Stopped","providerID":"p"}]}`,
		`{"version":1,"machines":[]}`, `{"version":1,"machines":[null]}`, `{"Version":1,"ERROR":null}`, `[[[[[[[[[[`, "\xff", `{"version":1e0}`,
	} {
		for _, verb := range []string{verbCreate, verbGet, verbList, verbDelete} {
			f.Add(verb, []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, verb string, out []byte) {
		res, err := parse(verb, out)
		var said *refusal
		if errors.As(err, &said) {
			// The same text, read by nothing but the standard library.
			var plain struct {
				Error struct{ Code string }
			}
			if e := json.Unmarshal(out, &plain); e != nil || codes[plain.Error.Code] != said.kind {
				t.Fatalf("%v of %q: %v", said.kind, out, e)
			}
		} else if errors.Is(err, cloud.ErrNotFound) {
			t.Fatalf("an absence that was not said: %q", out)
		}
		if err != nil {
			return
		}
		if (res.Machine != nil) != (verb == verbGet) || verb != verbList && res.Machines != nil {
			t.Fatalf("%s: %+v", verb, res)
		}
		for _, m := range append(res.Machines, res.Machine) {
			if m != nil && m.check() != nil {
				t.Fatalf("%s: half a machine: %+v", verb, m)
			}
		}
		// What was read means the same when it is written anew.
		again := answer{Version: version, Machine: res.Machine}
		if verb == verbList {
			again.Machines = &res.Machines
		}
		text, e := json.Marshal(again)
		if e != nil {
			t.Fatal(e)
		}
		if _, e := parse(verb, text); e != nil {
			t.Fatalf("%s does not read again: %v", text, e)
		}
	})
}
