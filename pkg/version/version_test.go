package version

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"testing"
)

func TestFormat(t *testing.T) {
	const commit = "0123456789abcdef0123456789abcdef01234567"
	for _, tt := range []struct{ tag, revision, want string }{
		{"v1.2.0", commit, "v1.2.0 (0123456789ab)"},
		{"v1.2.0", commit + "-dirty", "v1.2.0 (0123456789ab-dirty)"},
		{"v0.0.0", "unknown", "v0.0.0 (unknown)"},
		{"v0.0.0", "unknown-dirty", "v0.0.0 (unknown-dirty)"},
	} {
		if got := format(tt.tag, tt.revision); got != tt.want {
			t.Errorf("format(%q, %q) = %q, want %q", tt.tag, tt.revision, got, tt.want)
		}
	}
}

func TestFromVCS(t *testing.T) {
	set := func(kv ...string) (settings []debug.BuildSetting) {
		for i := 0; i < len(kv); i += 2 {
			settings = append(settings, debug.BuildSetting{Key: kv[i], Value: kv[i+1]})
		}
		return settings
	}
	for _, tt := range []struct {
		settings []debug.BuildSetting
		want     string
	}{
		{nil, "unknown"},
		{set("GOOS", "linux", "vcs.revision", "abc", "vcs.modified", "false"), "abc"},
		{set("vcs.modified", "true", "vcs.revision", "abc"), "abc-dirty"},
	} {
		if got := fromVCS(tt.settings); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.settings, got, tt.want)
		}
	}
}

// TestLinker sets both as images do: the linker is silent about a name that does
// not exist.
func TestLinker(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "program.go")
	source := "package main\n\nimport \"torikumi/pkg/version\"\n\nfunc main() { print(version.String()) }\n"
	if err := os.WriteFile(program, []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	for flags, want := range map[string]string{
		"": "v0.0.0 (unknown)",
		"-X torikumi/pkg/version.tag=v3.1.0 -X torikumi/pkg/version.revision=fedcba9876543210-dirty": "v3.1.0 (fedcba987654-dirty)",
	} {
		out, err := exec.CommandContext(t.Context(), "go", "run", "-ldflags="+flags, program).CombinedOutput()
		if err != nil || string(out) != want {
			t.Errorf("-ldflags=%q: %v, prints %q, want %q", flags, err, out, want)
		}
	}
}
