package cli

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"torikumi/pkg/service"
)

func call(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = Main(t.Context(), service.Process{Args: args, Getenv: func(string) string { return "" }, Stdout: &o, Stderr: &e})
	return code, o.String(), e.String()
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		{"up", "--help"}, {"down", "--help"}, {"status", "--help"}, {"load-image", "--help"}, {"kubeconfig", "--help"},
		{"node", "add", "--help"}, {"node", "plug", "--help"}, {"node", "exec", "--help"},
	} {
		if code, out, _ := call(t, args...); code != 0 || !strings.Contains(out, "--state") {
			t.Errorf("%q: %d %s", args, code, out)
		}
	}
}

func TestWrongCalls(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"fly"}, `"fly"`},
		{[]string{"up", "--games=-1"}, "--games"},
		{[]string{"up", "--node-net=here"}, "--node-net"},
		{[]string{"load-image"}, "FILE: required"},
		{[]string{"node", "add"}, "NAME: required"},
		{[]string{"node", "add", "x", "--labels=y"}, "--labels"},
		{[]string{"node", "unplug", "a", "b"}, "NAME: required"},
		{[]string{"node", "exec", "a"}, "COMMAND: required"},
	} {
		if code, _, errs := call(t, c.args...); code != service.ExitUsage || !strings.Contains(errs, c.want) {
			t.Errorf("%q: exit %d: %s", c.args, code, errs)
		}
	}
}

func TestNoCluster(t *testing.T) {
	state := "--state=" + filepath.Join(t.TempDir(), "none")
	for _, args := range [][]string{{"status", state}, {"kubeconfig", state}, {"load-image", "x.tar", state}, {"node", "plug", "a", state}} {
		if code, _, errs := call(t, args...); code != service.ExitFailed || !strings.Contains(errs, "torikumi-cluster up") {
			t.Errorf("%q: exit %d: %s", args, code, errs)
		}
	}
	if code, _, errs := call(t, "down", state); code != 0 {
		t.Errorf("down: exit %d: %s", code, errs)
	}
}
