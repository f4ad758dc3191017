package wasm

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// A module reaches nothing, and the same is the same in each instance.
func TestModulesReachNothing(t *testing.T) {
	t.Setenv("TORIKUMI_PROBE", "1")
	m := compile(t, buildGo(t, "testdata/probe"))
	const want = "time 1970-01-01T00:00:00Z, random 00000000, read false, write false, dial false, environment 0, arguments 0"
	for range 3 {
		in, err := m.start("")
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if got, err := in.judge(match(2), m.limits.Call); err != nil || got != want {
				t.Errorf("got %q, %v; want %q", got, err, want)
			}
		}
		in.close()
	}
	if _, err := os.Stat("/tmp/probe"); err == nil {
		t.Error("it has written a file")
	}

	r, err := m.Factory(json.RawMessage(`"panic"`))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Allows(match(2)); err == nil || !strings.Contains(err.Error(), `rule_judge: wasm error: unreachable; it wrote "panic: this is why`) {
		t.Error(err)
	}
}
