package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// All policies of all worlds keep the rules, what has been played is not played again,
// and each world is drawn.
func TestFrontier(t *testing.T) {
	dir := t.TempDir()
	samples := filepath.Join(dir, "samples.jsonl")
	args := []string{"frontier", "--seeds=1", "--length=18m", "--give-up=5m", "--cycle=30s", "--check", "--samples=" + samples, "--svg=" + dir}
	code, out, errs := call(args...)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, errs)
	}
	before, err := os.ReadFile(samples)
	if err != nil {
		t.Fatal(err)
	}
	for _, world := range []string{"duel", "parties", "three", "latency", "night", "launch"} {
		if !strings.Contains(out, "world "+world+": ") {
			t.Errorf("nothing of %s:\n%s", world, out)
		}
		svg, err := os.ReadFile(filepath.Join(dir, "frontier-"+world+".svg"))
		if err != nil || !bytes.HasSuffix(svg, []byte("</svg>\n")) || bytes.Contains(svg, []byte("NaN")) || bytes.Contains(svg, []byte("Inf")) {
			t.Errorf("%s: %v", world, err)
		}
	}
	code, again, errs := call(args...)
	after, err := os.ReadFile(samples)
	if code != 0 || err != nil || !bytes.Equal(before, after) || again != out {
		t.Errorf("again: exit %d, %v: %s", code, err, errs)
	}
}

func TestFrontierMistakes(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.jsonl")
	if err := os.WriteFile(bad, []byte(`{"world":"duel"} {`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, want string }{
		{"--worlds=duel,chess", "must be some of duel,parties,three,latency,night,launch"},
		{"--length=10m", "must be more than --give-up"},
		{"--seeds=0", "seeds"},
		{"--samples=" + bad, "sample 2"},
	} {
		if code, _, errs := call("frontier", c.args); code == 0 || !strings.Contains(errs, c.want) {
			t.Errorf("%s: exit %d: %s", c.args, code, errs)
		}
	}
}
