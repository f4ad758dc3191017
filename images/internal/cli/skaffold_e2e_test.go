//go:build e2e && skaffold

package cli_test

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// skaffold runs it as a user would, in the repository, with a home of its own.
type skaffold struct {
	*testing.T
	program string
	env     []string
}

func newSkaffold(t *testing.T) *skaffold {
	t.Helper()
	var missing []string
	program, err := filepath.Abs(root + "/bin/skaffold")
	if _, statErr := os.Stat(program); err != nil || statErr != nil {
		missing = append(missing, "bin/skaffold, of make skaffold")
	}
	kubectl, err := exec.LookPath("kubectl")
	if cache, cacheErr := os.UserCacheDir(); err != nil && cacheErr == nil {
		if found, _ := filepath.Glob(filepath.Join(cache, "torikumi", "kubernetes", "*", "kubectl")); len(found) > 0 {
			kubectl = found[len(found)-1]
		}
	}
	if kubectl == "" {
		missing = append(missing, "kubectl")
	}
	if len(missing) > 0 {
		t.Fatalf("e2e lacks:\n  %s", strings.Join(missing, "\n  "))
	}
	home := t.TempDir()
	env := []string{
		"PATH=" + filepath.Dir(kubectl) + ":" + os.Getenv("PATH"), "HOME=" + home, "KUBECONFIG=" + filepath.Join(home, "kubeconfig"),
		"SKAFFOLD_UPDATE_CHECK=false", "SKAFFOLD_INTERACTIVE=false", "DOCKER_HOST=unix://" + filepath.Join(home, "no-docker.sock"),
	}
	for _, variable := range []string{"GOMODCACHE", "GOCACHE", "GOPROXY", "GONOSUMDB", "GOSUMDB", "GOFLAGS"} {
		out, err := exec.CommandContext(t.Context(), "go", "env", variable).Output()
		if err != nil {
			t.Fatal(err)
		}
		env = append(env, variable+"="+strings.TrimSpace(string(out)))
	}
	return &skaffold{t, program, env}
}

func (s *skaffold) run(args ...string) string {
	s.Helper()
	cmd := exec.CommandContext(s.Context(), s.program, args...)
	cmd.Dir, cmd.Env = root, s.env
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		s.Fatalf("skaffold %q: %v\n%s%s", args, err, out, &stderr)
	}
	return string(out)
}

// TestSkaffold needs bin/skaffold, which takes minutes to build, and a tag of its
// own: go test -tags e2e,skaffold. It builds an image with skaffold and ko, on our base, without Docker,
// and finds the program that make images makes; and renders each profile with it.
func TestSkaffold(t *testing.T) {
	s := newSkaffold(t)
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	dir := t.TempDir()
	code, out, problems := images(t.Context(), "--source="+root, "--output="+dir, "--arch=amd64", "--images=base,evaluator", "--push="+host+"/torikumi")
	if code != 0 {
		t.Fatalf("exit %d: %s%s", code, out, problems)
	}
	s.env = append(s.env, "KO_DEFAULTBASEIMAGE="+host+"/torikumi/base:dev")

	built := filepath.Join(dir, "built.json")
	s.run("build", "--default-repo="+host, "--build-image=torikumi/evaluator", "--platform=linux/amd64", "--file-output="+built)
	text, err := os.ReadFile(built)
	if err != nil {
		t.Fatal(err)
	}
	var result struct {
		Builds []struct{ ImageName, Tag string }
	}
	if err := json.Unmarshal(text, &result); err != nil || len(result.Builds) != 1 || result.Builds[0].ImageName != "torikumi/evaluator" {
		t.Fatalf("%v: built %s", err, text)
	}
	theirs := pull(t, result.Builds[0].Tag)
	ours := pull(t, host+"/torikumi/evaluator:dev")
	if a, b := program(t, theirs, "ko-app/evaluator"), program(t, ours, "evaluator"); a != b {
		t.Errorf("skaffold builds the program %s, make images %s", a, b)
	}
	if config, err := theirs.ConfigFile(); err != nil || config.Config.User != "65532:65532" {
		t.Errorf("%v: it is not on our base: %+v", err, config)
	}

	s.run("diagnose")
	for _, profile := range []string{"", "minimatch", "hybrid"} {
		rendered := s.run("render", "--offline", "--digest-source=none", "--profile="+profile)
		for _, service := range []string{"frontend", "matchfunction", "evaluator", "director"} {
			if !strings.Contains(rendered, "image: torikumi/"+service) {
				t.Errorf("profile %q renders no %s", profile, service)
			}
		}
	}
}

func pull(t *testing.T, reference string) v1.Image {
	t.Helper()
	ref, err := name.ParseReference(reference)
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(ref, remote.WithPlatform(v1.Platform{OS: "linux", Architecture: "amd64"}))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// program is the hash of a file of an image.
func program(t *testing.T, img v1.Image, file string) string {
	t.Helper()
	files := mutate.Extract(img)
	defer files.Close()
	for r := tar.NewReader(files); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			t.Fatalf("the image has no %s", file)
		}
		if err != nil {
			t.Fatal(err)
		}
		if strings.TrimPrefix(h.Name, "/") == file {
			sum := sha256.New()
			if _, err := io.Copy(sum, r); err != nil {
				t.Fatal(err)
			}
			return fmt.Sprintf("%x", sum.Sum(nil))
		}
	}
}
