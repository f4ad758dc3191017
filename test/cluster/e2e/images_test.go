//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"torikumi/pkg/requirements"
	"torikumi/test/cluster/cluster"
)

// redisImage is the one that the manifests name; here it has Debian's Redis.
const redisImage = "docker.io/library/redis:7.2.5"

// used are the images that the suite on one machine needs.
var used = []string{"frontend", "matchfunction", "evaluator", "director", "minimatch", "miniagones", "devissuer", "gate", "gameserver"}

// makeImages builds images as a user would, and returns their tars and
// Redis's. A cluster that runs
// already has all but Redis's.
func makeImages(t *testing.T, used ...string) []string {
	t.Helper()
	if err := cluster.Requirements(requirements.Suite()); err != nil {
		t.Fatal(err)
	}
	dir, began := t.TempDir(), time.Now()
	redis := filepath.Join(dir, "redis.tar")
	if err := writeRedis(redis); err != nil {
		t.Fatalf("make the image of Redis: %v", err)
	}
	if os.Getenv(clusterEnv) != "" {
		return []string{redis}
	}
	cmd := exec.CommandContext(t.Context(), "go", "run", "./images", "--arch=amd64", "--images="+strings.Join(used, ","), "--output="+dir)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make images: %v\n%s", err, out)
	}
	tars := []string{redis}
	for _, image := range used {
		tars = append(tars, filepath.Join(dir, image+".tar"))
	}
	t.Logf("%5.1fs images", time.Since(began).Seconds())
	return tars
}

// writeRedis makes an image of the Redis on this machine, with the shell that its
// probes are run by and the libraries of both.
func writeRedis(file string) error {
	files := map[string]string{}
	for _, program := range []string{"redis-server", "redis-cli", "sh"} {
		path, err := exec.LookPath(program)
		if err != nil {
			return err
		}
		libraries, err := exec.Command("ldd", path).Output()
		if err != nil {
			return fmt.Errorf("libraries of %s: %w", path, err)
		}
		files["usr/local/bin/"+program] = path
		for _, word := range strings.Fields(string(libraries)) {
			if strings.HasPrefix(word, "/") {
				files[strings.TrimPrefix(word, "/")] = word
			}
		}
	}
	return writeImage(file, redisImage, files, v1.Config{Env: []string{"PATH=/usr/local/bin"}})
}

// writeMachines makes the image of testdata/machines.
func writeMachines(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	program, file := filepath.Join(dir, "machines"), filepath.Join(dir, "machines.tar")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./testdata/machines")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	err := writeImage(file, "docker.io/torikumi/machines:e2e", map[string]string{"bin/machines": program}, v1.Config{Entrypoint: []string{"/bin/machines"}})
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// writeImage makes an image of files of this machine, by their paths in it.
func writeImage(file, reference string, files map[string]string, settings v1.Config) error {
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	for to, from := range files {
		content, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Name: to, Mode: 0o755, Size: int64(len(content))}); err != nil {
			return err
		}
		if _, err := w.Write(content); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil })
	if err != nil {
		return err
	}
	image, err := mutate.AppendLayers(empty.Image, l)
	if err != nil {
		return err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Config = "linux", runtime.GOARCH, settings
	if image, err = mutate.ConfigFile(image, config); err != nil {
		return err
	}
	tag, err := name.NewTag(reference)
	if err != nil {
		return err
	}
	return tarball.WriteToFile(file, tag, image)
}
