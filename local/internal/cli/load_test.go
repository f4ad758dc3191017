package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"torikumi/loadgen/loadgen"
	"torikumi/local/issuer"
	"torikumi/pkg/porttest"
)

func TestLoadSettings(t *testing.T) {
	code, out, errs := call(t.Context(), "load", "--rate=-1", "--wait=carrier-pigeon")
	if code != exitUsage || out != "" || !strings.Contains(errs, "--rate:") || !strings.Contains(errs, "--wait:") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	if code, out, _ := call(t.Context(), "load", "--help"); code != 0 || !strings.Contains(out, "--rate") {
		t.Errorf("exit %d: %s", code, out)
	}
}

func TestLoadOfNobody(t *testing.T) {
	addr := porttest.Hold(t).String()
	code, out, errs := call(t.Context(), "load", "--open-match="+addr, "--json=-")
	if code != exitFailed || out != "" || !strings.Contains(errs, addr) {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}

// The load generator does without the issuer's package.
func TestLoadTokenPath(t *testing.T) {
	if loadgen.TokenPath != issuer.TokenPath {
		t.Errorf("%s is not the issuer's %s", loadgen.TokenPath, issuer.TokenPath)
	}
}

// loader builds the program, and returns what runs its command load.
func loader(t *testing.T) (load func(args ...string) (code int, out, errs string)) {
	t.Helper()
	run := runner(t)
	return func(args ...string) (int, string, string) { return run(append([]string{"load"}, args...)...) }
}

// runner builds the program, and returns what runs it.
func runner(t *testing.T) (run func(args ...string) (code int, out, errs string)) {
	t.Helper()
	exe := filepath.Join(t.TempDir(), "torikumi")
	build := exec.Command("go", "build", "-o", exe, "torikumi/local")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return func(args ...string) (int, string, string) {
		cmd := exec.CommandContext(t.Context(), exe, args...)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		var exit *exec.ExitError
		if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return cmd.ProcessState.ExitCode(), out.String(), errs.String()
	}
}

// Players of the real suite join real servers, of which there are fewer than
// matches; where servers are addresses only, nobody gets in.
func TestLoadPlays(t *testing.T) {
	load := loader(t)
	for name, c := range map[string]struct {
		up, timeout string
		joined      int
		failed      map[string]int
	}{
		"servers":   {"--ready=3", "--timeout=1m", 16, map[string]int{}},
		"ES256":     {"--ready=3 --algorithm=ES256", "--timeout=1m", 16, map[string]int{}},
		"addresses": {"--fleet=virtual:20", "--timeout=15s", 0, map[string]int{"no_answer_to_join": 16}},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errs := load("--up="+c.up, "--target=frontend", "--rate=16", "--duration=1s", "--skill-deviation=0", "--stay=500ms", c.timeout, "--json=-")
			var r loadgen.Report
			if err := json.Unmarshal([]byte(out), &r); err != nil {
				t.Fatalf("%v: %s%s", err, out, errs)
			}
			if r.Play == nil || r.Assigned != 16 || r.Play.Joined != c.joined || r.Play.Left != c.joined || !maps.Equal(r.Play.FailedBy, c.failed) {
				t.Errorf("%s%s", out, errs)
			}
			if r.OK != (len(c.failed) == 0) || (code == 0) != r.OK {
				t.Errorf("exit %d, ok %v", code, r.OK)
			}
		})
	}
}

// The program as it is: it starts another one of itself, loads and stops it.
func TestLoadUp(t *testing.T) {
	load := loader(t)
	profile := filepath.Join(t.TempDir(), "cpu.pprof")
	code, out, errs := load("--up=--fleet=virtual:100 --cpu-profile="+profile, "--rate=40", "--duration=500ms", "--skill-deviation=10", "--timeout=1m", "--json=-")
	var r loadgen.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v: %s%s", err, out, errs)
	}
	if code != 0 || !r.OK || r.Assigned != 20 || r.Matches != 10 || !strings.Contains(errs, "assigned               20 (") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	if r.Process != nil && (r.Process.CPUSeconds <= 0 || r.Process.PeakBytes <= 0) {
		t.Errorf("usage of the suite: %+v", r.Process)
	}
	// The suite has ended as it should: otherwise there would be no profile.
	if info, err := os.Stat(profile); err != nil || info.Size() == 0 {
		t.Errorf("no profile: %v", err)
	}
	if code, _, errs := load("--up=--fleet=none"); code != exitFailed || !strings.Contains(errs, "--fleet: must be processes") || !strings.Contains(errs, "it ended before it served") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

// Players accept the matches of a queue that asks them, however they wait; those of the
// demo, too.
func TestAccepting(t *testing.T) {
	run := runner(t)
	queues := filepath.Join(t.TempDir(), "queues.yaml")
	text := "queues:\n"
	for name, players := range map[string]string{"session": "1", "squad": "2"} {
		text += "- {name: " + name + ", teams: [{name: a, players: " + players + "}, {name: b, players: " + players + "}], " +
			"skill: {attribute: skill, window: 200, widen_per_second: 200}, acceptance: {time_limit: 15s}}\n"
	}
	if err := os.WriteFile(queues, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, wait := range []string{"sse", "long-poll", "watch", "poll"} {
		code, out, errs := run("load", "--up=--fleet=virtual:50 --queues="+queues, "--target=frontend", "--wait="+wait, "--rate=20", "--duration=1s", "--skill-deviation=0", "--timeout=1m")
		if code != 0 {
			t.Errorf("%s: exit %d: %s%s", wait, code, out, errs)
		}
	}
	if code, out, errs := run("demo", "--queues="+queues, "--players=12"); code != 0 {
		t.Errorf("demo: exit %d: %s%s", code, out, errs)
	}
}
