package cli

import (
	"strings"
	"testing"
)

func TestAttachSettings(t *testing.T) {
	code, _, errs := call(t.Context(), "attach", "--port=0", "--host=0.0.0.0", "--allocator=there", "--gate-port=9357", "--health-timeout=-1s")
	if code != exitUsage {
		t.Errorf("exit %d", code)
	}
	for _, want := range []string{"--port", "--host", "--allocator", "--gate-port", "--health-timeout"} {
		if !strings.Contains(errs, want+":") {
			t.Errorf("the message lacks %s:\n%s", want, errs)
		}
	}
}

// Without a suite there is nothing to attach to.
func TestAttachWithoutSuite(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	if code, _, errs := call(t.Context(), "attach"); code != exitFailed || !strings.Contains(errs, "no torikumi up is found") {
		t.Errorf("exit %d: %s", code, errs)
	}
	if code, _, errs := call(t.Context(), "attach", "--allocator=127.0.0.1:1"); code != exitFailed || !strings.Contains(errs, "127.0.0.1:1 is gone, or not there") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

// A cluster is another program's, which a mere `go build ./local` does not make.
func TestAttachToClusterWithoutProgram(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for _, args := range [][]string{{"--kubeconfig=x"}, {"-port=7777", "-kubeconfig", "x"}} {
		if code, _, errs := call(t.Context(), append([]string{"attach"}, args...)...); code != exitFailed || !strings.Contains(errs, "go build -o bin/torikumi-attach ./local/cmd/torikumi-attach") {
			t.Errorf("%v: exit %d: %s", args, code, errs)
		}
	}
}
