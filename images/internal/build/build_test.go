package build_test

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template"
	"time"

	"sigs.k8s.io/yaml"

	"torikumi/images/internal/build"
)

const root = "../../.."

var stamp = build.Stamp{Tag: "v1.2.0", Revision: "0123456789abcdef-dirty", Time: time.Unix(1_700_000_000, 0)}

func TestSelect(t *testing.T) {
	for _, tt := range []struct{ names, want string }{
		{"gate frontend gate", "gate frontend"},
		{"", "frontend beacon matchfunction evaluator director failover minimatch miniagones gate gameserver loadgen devissuer"},
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

// TestKo compares .ko.yaml, from which skaffold builds, with what is built here.
func TestKo(t *testing.T) {
	text, err := os.ReadFile(root + "/.ko.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var ko struct{ DefaultEnv, DefaultFlags, DefaultLdflags []string }
	if err := yaml.Unmarshal(text, &ko); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(ko.DefaultEnv, build.Environment()) || !slices.Equal(ko.DefaultFlags, build.Flags()) {
		t.Errorf("environment %q, flags %q", ko.DefaultEnv, ko.DefaultFlags)
	}
	for _, dirty := range []bool{false, true} {
		git := map[string]any{"Tag": "v1.2.0", "FullCommit": "0123456789abcdef", "IsDirty": dirty}
		want := stamp
		if !dirty {
			want.Revision = strings.TrimSuffix(stamp.Revision, "-dirty")
		}
		var got []string
		for _, flag := range ko.DefaultLdflags {
			var out strings.Builder
			if err := template.Must(template.New("").Parse(flag)).Execute(&out, map[string]any{"Git": git}); err != nil {
				t.Fatal(err)
			}
			got = append(got, out.String())
		}
		if !slices.Equal(got, build.LinkFlags(want)) {
			t.Errorf("flags of the linker %q, want %q", got, build.LinkFlags(want))
		}
	}
}

// TestSkaffold: it builds what is built here, from the same folders, and watches
// all that a program is made of.
func TestSkaffold(t *testing.T) {
	text, err := os.ReadFile(root + "/skaffold.yaml")
	if err != nil {
		t.Fatal(err)
	}
	type artifact struct {
		Image string
		Ko    struct {
			Main         string
			Dependencies struct{ Paths []string }
		}
	}
	var skaffold struct {
		Build    struct{ Artifacts []artifact }
		Profiles []struct {
			Patches []struct{ Value json.RawMessage }
		}
	}
	documents := strings.Split(string(text), "\n---\n")
	if err := yaml.Unmarshal([]byte(documents[len(documents)-1]), &skaffold); err != nil {
		t.Fatal(err)
	}
	all := skaffold.Build.Artifacts
	for _, profile := range skaffold.Profiles {
		for _, patch := range profile.Patches {
			var a artifact
			if json.Unmarshal(patch.Value, &a) == nil && a.Image != "" {
				all = append(all, a)
			}
		}
	}
	if len(all) < 5 {
		t.Fatalf("%d artifacts", len(all))
	}
	for _, a := range all {
		programs, err := build.Select([]string{strings.TrimPrefix(a.Image, "torikumi/")})
		if err != nil || a.Ko.Main != "./"+programs[0].Package {
			t.Errorf("%s: %v, built from %s", a.Image, err, a.Ko.Main)
			continue
		}
		for _, dir := range packagesOf(t, a.Ko.Main) {
			watched := func(path string) bool { return strings.HasPrefix(dir+"/", strings.TrimSuffix(path, "**")) }
			if !slices.ContainsFunc(a.Ko.Dependencies.Paths, watched) {
				t.Errorf("%s does not watch %s", a.Image, dir)
			}
		}
	}
}

// packagesOf are the folders of this repository's packages in a program.
func packagesOf(t *testing.T, main string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f={{.ImportPath}}", main)
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var dirs []string
	for path := range strings.Lines(string(out)) {
		if dir, ok := strings.CutPrefix(strings.TrimSpace(path), "torikumi/"); ok {
			dirs = append(dirs, dir)
		}
	}
	if len(dirs) == 0 {
		t.Errorf("go list %s: nothing", main)
	}
	return dirs
}

// TestKubernetesClient: only the programs that need a client of Kubernetes link it;
// what runs on one machine does not.
func TestKubernetesClient(t *testing.T) {
	with := []string{"director", "failover", "miniagones/kubernetes/cmd/miniagones"}
	mains := []string{"local"}
	for _, p := range build.Programs() {
		mains = append(mains, p.Package)
	}
	for _, main := range mains {
		cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "./"+main)
		cmd.Dir = root
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		if linked := strings.Contains(string(out), "k8s.io/client-go/"); linked != slices.Contains(with, main) {
			t.Errorf("%s links a client of Kubernetes: %v", main, linked)
		}
	}
}
