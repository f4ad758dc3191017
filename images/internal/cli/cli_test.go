package cli_test

import (
	"archive/tar"
	"bytes"
	"context"
	"debug/elf"
	"encoding/base64"
	"encoding/hex"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx"

	"torikumi/images/internal/cli"
	"torikumi/pkg/service"
)

const root = "../../.."

func images(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, problems bytes.Buffer
	code = cli.Main(ctx, service.Process{Args: args, Getenv: func(string) string { return "" }, Stdout: &out, Stderr: &problems})
	return code, out.String(), problems.String()
}

func TestWrongSettings(t *testing.T) {
	for arg, want := range map[string]string{
		"--tag=":                     "--tag: must be up to 128 letters",
		"--tag=a:b":                  "--tag: must be up to 128 letters",
		"--tag=-a":                   "--tag: must be up to 128 letters",
		"--tag=a/../b":               "--tag: must be up to 128 letters",
		"--arch=386":                 "--arch: must be amd64 or arm64",
		"--arch=":                    "--arch: required",
		"--images=frontend,server":   `--images: "server" is none of frontend, `,
		"--push=torikumi":            "--push: must be host[:port]/path",
		"--push=localhost:5000/A":    "--push: must be host[:port]/path",
		"--push=http://localhost/to": "--push: must be host[:port]/path",
	} {
		if code, out, problems := images(t.Context(), arg); code != service.ExitUsage || !strings.Contains(problems, want) {
			t.Errorf("%s: exit %d: %s%s", arg, code, out, problems)
		}
	}
}

// TestImages makes an image twice: what comes out is the same, and its SBOM says
// what go version -m says of the program.
func TestImages(t *testing.T) {
	var sets [2]map[string]string
	for i := range sets {
		dir := t.TempDir()
		code, out, problems := images(t.Context(), "--source="+root, "--output="+dir, "--arch=amd64", "--images=evaluator,base", "--tag=v1.2.0")
		if code != 0 || !strings.Contains(out, "evaluator  amd64 ") {
			t.Fatalf("exit %d: %s%s", code, out, problems)
		}
		sets[i] = read(t, dir)
	}
	if !maps.Equal(sets[0], sets[1]) {
		t.Error("the same commit gives other files")
	}
	if names, want := slices.Sorted(maps.Keys(sets[0])), []string{"base.tar", "digests.txt", "evaluator.spdx.json", "evaluator.tar"}; !slices.Equal(names, want) {
		t.Errorf("files %q, want %q", names, want)
	}
	for line := range strings.Lines(sets[0]["digests.txt"]) {
		name, digest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if hash, ok := strings.CutPrefix(digest, "sha256:"); !ok || !strings.Contains(sets[0]["evaluator.tar"]+sets[0]["base.tar"], "blobs/sha256/"+hash) || !strings.HasPrefix(name, "docker.io/torikumi/") {
			t.Errorf("digests.txt has the line %q", line)
		}
	}
	checkSBOM(t, sets[0]["evaluator.spdx.json"])
}

func read(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(content)
	}
	return files
}

// modules asks go for the modules of a program that is built as the image's is,
// as "path version sum".
func modules(t *testing.T) []string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "evaluator")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-o", program, "./evaluator")
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0", "GOARCH=amd64")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), "go", "version", "-m", program).Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		switch {
		case f[0] == "dep" && len(f) == 4:
			all = append(all, strings.Join(f[1:], " "))
		case strings.HasSuffix(f[0], "evaluator:"):
			all = append(all, "stdlib "+strings.TrimPrefix(f[1], "go"))
		}
	}
	if len(all) < 10 {
		t.Fatalf("go version -m says\n%s", out)
	}
	slices.Sort(all)
	return all
}

func checkSBOM(t *testing.T, document string) {
	t.Helper()
	doc, err := json.Read(strings.NewReader(document))
	if err != nil {
		t.Fatal(err)
	}
	if doc.SPDXVersion != "SPDX-2.3" || doc.DataLicense != "CC0-1.0" || doc.DocumentName != "torikumi/evaluator" || !strings.HasPrefix(doc.DocumentNamespace, "https://") {
		t.Errorf("head %+v", doc)
	}
	byID := make(map[string]*spdx.Package)
	for _, p := range doc.Packages {
		id := string(p.PackageSPDXIdentifier)
		if byID[id] != nil || p.PackageName == "" || p.PackageDownloadLocation == "" || p.PackageLicenseConcluded == "" || p.FilesAnalyzed {
			t.Errorf("package %+v", p)
		}
		byID[id] = p
	}
	var got []string
	described, contained := 0, 0
	for _, r := range doc.Relationships {
		to := byID[string(r.RefB.ElementRefID)]
		if to == nil || r.RefA.ElementRefID != doc.SPDXIdentifier && byID[string(r.RefA.ElementRefID)] == nil {
			t.Errorf("%+v leads nowhere", r)
			continue
		}
		switch r.Relationship {
		case "DESCRIBES":
			described++
		case "CONTAINS":
			contained++
		case "DEPENDS_ON":
			if !strings.HasPrefix(to.PackageName, "torikumi/") {
				got = append(got, strings.TrimSpace(to.PackageName+" "+to.PackageVersion+" "+sum(t, to)))
			}
		}
	}
	// The program and the certificate authorities.
	if described != 1 || contained != 2 || !strings.Contains(document, "pkg:golang/golang.org/x/crypto/x509roots/fallback@v") {
		t.Errorf("describes %d, contains %d", described, contained)
	}
	slices.Sort(got)
	if want := modules(t); !slices.Equal(got, want) {
		t.Errorf("the SBOM has\n%s\ngo version -m says\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// sum is a package's checksum as go writes it.
func sum(t *testing.T, p *spdx.Package) string {
	t.Helper()
	if len(p.PackageChecksums) == 0 {
		return ""
	}
	raw, err := hex.DecodeString(p.PackageChecksums[0].Value)
	if err != nil {
		t.Fatal(err)
	}
	return "h1:" + base64.StdEncoding.EncodeToString(raw)
}

// TestArchitectures: each image has the program of its own architecture.
func TestArchitectures(t *testing.T) {
	dir := t.TempDir()
	if code, out, problems := images(t.Context(), "--source="+root, "--output="+dir, "--images=evaluator"); code != 0 {
		t.Fatalf("exit %d: %s%s", code, out, problems)
	}
	got := machines(t, filepath.Join(dir, "evaluator.tar"), "evaluator")
	if want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}; !maps.Equal(got, want) {
		t.Errorf("programs by architecture: %v, want %v", got, want)
	}
}

// machines tells, for each architecture in an archive, for which one its program is.
func machines(t *testing.T, archive, program string) map[string]elf.Machine {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "tar", "--extract", "--file="+archive, "--directory="+dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	top, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	everything := func(v1.Descriptor) bool { return true }
	indices, err := partial.FindIndexes(top, everything)
	if err != nil || len(indices) != 1 {
		t.Fatalf("%v: %d indices", err, len(indices))
	}
	all, err := partial.FindImages(indices[0], everything)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]elf.Machine)
	for _, img := range all {
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		found[config.Architecture] = machine(t, img, program)
	}
	return found
}

func machine(t *testing.T, img v1.Image, program string) elf.Machine {
	t.Helper()
	files := mutate.Extract(img)
	defer files.Close()
	for r := tar.NewReader(files); ; {
		h, err := r.Next()
		if err != nil {
			t.Fatalf("look for %s: %v", program, err)
		}
		if h.Name != program {
			continue
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		f, err := elf.NewFile(bytes.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		return f.Machine
	}
}
