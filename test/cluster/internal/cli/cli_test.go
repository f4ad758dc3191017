package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
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
		{[]string{"up", "--images=none/*.tar"}, `--images: must be files, or patterns of files, got "none/*.tar"`},
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

// TestImages: what is between the commas may be a pattern.
func TestImages(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.tar", "b.tar", "c.tar", "c.json"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg := upConfig{Images: []string{dir + "/[ab].tar", dir + "/c.tar"}}
	if err := cfg.expand(); err != nil {
		t.Fatal(err)
	}
	if want := []string{dir + "/a.tar", dir + "/b.tar", dir + "/c.tar"}; !slices.Equal(cfg.Images, want) {
		t.Errorf("got %q", cfg.Images)
	}
}

func TestNoCluster(t *testing.T) {
	state := "--state=" + filepath.Join(t.TempDir(), "none")
	for _, args := range [][]string{{"status", state}, {"kubeconfig", state}, {"load-image", "x.tar", state}, {"node", "plug", "a", state}, {"load-image", state, "x.tar", "--nodes=a", "y.tar"}} {
		if code, _, errs := call(t, args...); code != service.ExitFailed || !strings.Contains(errs, "torikumi-cluster up") {
			t.Errorf("%q: exit %d: %s", args, code, errs)
		}
	}
	if code, _, errs := call(t, "down", state); code != 0 {
		t.Errorf("down: exit %d: %s", code, errs)
	}
}
