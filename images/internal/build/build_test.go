package build_test

import (
	"bytes"
	"debug/buildinfo"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"torikumi/images/internal/build"
)

const root = "../../.."

var stamp = build.Stamp{Tag: "v1.2.0", Revision: "0123456789abcdef-dirty", Time: time.Unix(1_700_000_000, 0)}

func TestSelect(t *testing.T) {
	for _, tt := range []struct{ names, want string }{
		{"gate frontend gate", "gate frontend"},
		{"", "frontend matchfunction evaluator director failover minimatch miniagones gate gameserver loadgen devissuer"},
	} {
		programs, err := build.Select(strings.Fields(tt.names))
		var got []string
		for _, p := range programs {
			got = append(got, p.Name)
		}
		if err != nil || strings.Join(got, " ") != tt.want {
			t.Errorf("%q: %v, %q", tt.names, err, got)
		}
	}
	if _, err := build.Select([]string{"gate", "server"}); err == nil || !strings.HasPrefix(err.Error(), `"server" is none of frontend, `) {
		t.Error(err)
	}
	for _, p := range build.Programs() {
		if _, err := os.Stat(filepath.Join(root, p.Package, "main.go")); err != nil {
			t.Error(err)
		}
	}
}

// TestManifests: what manifests name, there is.
func TestManifests(t *testing.T) {
	image, found := regexp.MustCompile(`(?m)^[ -]*image: "?torikumi/([a-z-]+)`), 0
	err := filepath.WalkDir(root+"/manifests", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".yaml" {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range image.FindAllStringSubmatch(string(text), -1) {
			found++
			if _, err := build.Select(m[1:]); err != nil && m[1] != "unreal-server" {
				t.Errorf("%s: %v", path, err)
			}
		}
		return err
	})
	if err != nil || found < 5 {
		t.Errorf("%v: %d images found", err, found)
	}
}

// run runs a command with nobody's configuration of git.
func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_COMMITTER_DATE=1700000000 +0100", "GIT_AUTHOR_DATE=1600000000 +0000",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=c", "GIT_COMMITTER_EMAIL=c@example.org")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestReadStamp(t *testing.T) {
	dir := t.TempDir()
	if _, err := build.ReadStamp(t.Context(), dir, ""); err == nil || !strings.HasPrefix(err.Error(), "read the commit: ") {
		t.Errorf("without git: %v", err)
	}
	run(t, dir, "git", "init", "-q")
	run(t, dir, "git", "commit", "-q", "--allow-empty", "-m", "first")
	commit := run(t, dir, "git", "rev-parse", "HEAD")
	check := func(epoch string, want build.Stamp) {
		t.Helper()
		want.Time = want.Time.UTC()
		if got, err := build.ReadStamp(t.Context(), dir, epoch); err != nil || got != want {
			t.Errorf("%v: %+v, want %+v", err, got, want)
		}
	}
	check("", build.Stamp{"v0.0.0", commit, time.Unix(1_700_000_000, 0)})
	run(t, dir, "git", "tag", "v3.1.0")
	check("86400", build.Stamp{"v3.1.0", commit, time.Unix(86_400, 0)})
	if err := os.WriteFile(filepath.Join(dir, "new"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	check("", build.Stamp{"v3.1.0", commit + "-dirty", time.Unix(1_700_000_000, 0)})
	for _, epoch := range []string{"x", "-1", "1.5"} {
		if _, err := build.ReadStamp(t.Context(), dir, epoch); err == nil || !strings.Contains(err.Error(), "SOURCE_DATE_EPOCH: must be seconds") {
			t.Errorf("%s: %v", epoch, err)
		}
	}
}

// elsewhere copies what is in the repository to another folder.
func elsewhere(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name := range strings.SplitSeq(run(t, root, "git", "ls-files", "--cached", "--others", "--exclude-standard"), "\n") {
		content, err := os.ReadFile(filepath.Join(root, name))
		if os.IsNotExist(err) {
			continue // deleted, and not committed yet
		}
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestCompile: two folders give the same bytes, whatever the environment says.
func TestCompile(t *testing.T) {
	programs, err := build.Select([]string{"evaluator"})
	if err != nil {
		t.Fatal(err)
	}
	var contents [2][]byte
	for i, source := range []string{root, elsewhere(t)} {
		if i == 1 {
			t.Setenv("GOFLAGS", "-tags=other")
			t.Setenv("GOAMD64", "v3")
			t.Setenv("CGO_ENABLED", "1")
		}
		files, err := build.Compile(t.Context(), source, t.TempDir(), "amd64", programs, stamp)
		if err != nil {
			t.Fatal(err)
		}
		if contents[i], err = os.ReadFile(files["evaluator"]); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(contents[0], contents[1]) {
		t.Error("another folder or environment makes another program")
	}
	info, err := buildinfo.Read(bytes.NewReader(contents[0]))
	if err != nil {
		t.Fatal(err)
	}
	settings := make(map[string]string)
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	if settings["CGO_ENABLED"] != "0" || settings["GOOS"] != "linux" || settings["GOARCH"] != "amd64" || settings["GOAMD64"] != "v1" || settings["-trimpath"] != "true" || settings["vcs.revision"] != "" {
		t.Errorf("settings %q", settings)
	}
	for _, text := range []string{stamp.Tag, stamp.Revision} {
		if !bytes.Contains(contents[0], []byte(text)) {
			t.Errorf("the program does not know %q", text)
		}
	}
}

func TestCompileFails(t *testing.T) {
	_, err := build.Compile(t.Context(), root, t.TempDir(), "amd64", []build.Program{{Name: "none", Package: "none"}}, stamp)
	if err == nil || !strings.HasPrefix(err.Error(), "go build for amd64: ") || !strings.Contains(err.Error(), "none") {
		t.Error(err)
	}
}

func TestFlags(t *testing.T) {
	if got := strings.Join(slices.Concat(build.Flags(), build.LinkFlags(stamp)), " "); got != "-trimpath -buildvcs=false -s -w -X torikumi/pkg/version.tag=v1.2.0 -X torikumi/pkg/version.revision=0123456789abcdef-dirty" {
		t.Error(got)
	}
}
