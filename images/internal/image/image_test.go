package image_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"torikumi/images/internal/build"
	"torikumi/images/internal/image"
)

var stamp = build.Stamp{Tag: "v1.2.0", Revision: strings.Repeat("ab", 20), Time: time.Unix(1_700_000_000, 0).UTC()}

// archive makes the image of two files that stand for programs, in a folder of
// its own, and returns the archive.
func archive(t *testing.T, document string) string {
	t.Helper()
	dir, files := t.TempDir(), make(map[string]string)
	for _, arch := range []string{"arm64", "amd64"} {
		files[arch] = filepath.Join(dir, arch)
		if err := os.WriteFile(files[arch], []byte("for "+arch), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, err := image.NewBuilder(stamp)
	if err != nil {
		t.Fatal(err)
	}
	img, err := b.Build("svc", slices.Collect(maps.Keys(files)), files)
	if err == nil && document != "" {
		err = b.Attach(&img, []byte(document))
	}
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "svc.tar")
	if err := image.WriteArchive(img, "dev", file, stamp.Time); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
	return file
}

// unpack reads a tar whose entries have to be sorted and of one time.
func unpack(t *testing.T, file string) map[string]string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return entries(t, f)
}

func entries(t *testing.T, from io.Reader) map[string]string {
	t.Helper()
	all, last := make(map[string]string), ""
	for r := tar.NewReader(from); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if h.Name <= last || !h.ModTime.Equal(stamp.Time) {
			t.Errorf("%s of %v stands behind %s", h.Name, h.ModTime, last)
		}
		last = h.Name
		all[h.Name] = fmt.Sprintf("%o %d:%d %s", h.Mode, h.Uid, h.Gid, content)
	}
}

func TestReproducible(t *testing.T) {
	var sums [2][32]byte
	for i := range sums {
		content, err := os.ReadFile(archive(t, "{}"))
		if err != nil {
			t.Fatal(err)
		}
		sums[i] = sha256.Sum256(content)
	}
	if sums[0] != sums[1] {
		t.Errorf("the same files give the archives %x", sums)
	}
}

func TestArchive(t *testing.T) {
	dir := t.TempDir()
	for name, entry := range unpack(t, archive(t, "a document")) {
		file := filepath.Join(dir, name)
		if strings.HasSuffix(name, "/") {
			continue
		}
		_, content, _ := strings.Cut(strings.TrimPrefix(entry, "644 0:0"), " ")
		if sum := sha256.Sum256([]byte(content)); strings.HasPrefix(name, "blobs/") && filepath.Base(name) != hex.EncodeToString(sum[:]) {
			t.Errorf("%s has other content", name)
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	top, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := top.IndexManifest()
	if err != nil || len(manifest.Manifests) != 2 {
		t.Fatalf("%v: %+v", err, manifest)
	}
	named, sbom := manifest.Manifests[0], manifest.Manifests[1]
	if want := map[string]string{"io.containerd.image.name": "docker.io/torikumi/svc:dev", "org.opencontainers.image.ref.name": "dev"}; !maps.Equal(named.Annotations, want) {
		t.Errorf("annotations %v, want %v", named.Annotations, want)
	}
	index, err := top.ImageIndex(named.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	checkImages(t, index)
	checkSBOM(t, top, sbom, named)
}

func checkImages(t *testing.T, index v1.ImageIndex) {
	t.Helper()
	manifest, err := index.IndexManifest()
	if err != nil || len(manifest.Manifests) != 2 {
		t.Fatalf("%v: %+v", err, manifest)
	}
	for i, arch := range []string{"amd64", "arm64"} {
		d := manifest.Manifests[i]
		if d.Platform == nil || d.Platform.String() != "linux/"+arch {
			t.Errorf("the platform is %v, want %s", d.Platform, arch)
		}
		img, err := index.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		c := config.Config
		if config.Architecture != arch || c.User != "65532:65532" || !slices.Equal(c.Entrypoint, []string{"/svc"}) || c.Cmd != nil {
			t.Errorf("configuration %+v", config)
		}
		if c.Labels["org.opencontainers.image.revision"] != stamp.Revision || c.Labels["org.opencontainers.image.version"] != stamp.Tag || !config.Created.Equal(stamp.Time) {
			t.Errorf("of %v with labels %v", config.Created, c.Labels)
		}
		checkFiles(t, img, arch)
	}
}

// checkFiles compares all that is in an image.
func checkFiles(t *testing.T, img v1.Image, arch string) {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		r, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		entries(t, r) // checks order and times
	}
	all := make(map[string]string)
	r := mutate.Extract(img)
	defer r.Close()
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		content, readErr := io.ReadAll(tr)
		if err := errors.Join(err, readErr); err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(h.Name, "/")
		all[name] = fmt.Sprintf("%o %d:%d", h.Mode, h.Uid, h.Gid)
		if name == "svc" && string(content) != "for "+arch {
			t.Errorf("%s has the program %q", arch, content)
		}
	}
	want := map[string]string{
		"etc": "755 0:0", "etc/group": "644 0:0", "etc/passwd": "644 0:0", "etc/ssl": "755 0:0", "etc/ssl/certs": "755 0:0",
		"etc/ssl/certs/ca-certificates.crt": "644 0:0", "home": "755 0:0", "home/nonroot": "700 65532:65532", "tmp": "1777 0:0",
		"svc": "755 0:0",
	}
	if !maps.Equal(all, want) {
		t.Errorf("files %v, want %v", all, want)
	}
}

func checkSBOM(t *testing.T, top v1.ImageIndex, sbom, of v1.Descriptor) {
	t.Helper()
	if sbom.ArtifactType != "application/spdx+json" || len(sbom.Annotations) != 0 {
		t.Errorf("the second is %+v", sbom)
	}
	artifact, err := top.Image(sbom.Digest)
	if err != nil {
		t.Fatal(err)
	}
	m, err := artifact.Manifest()
	if err != nil || len(m.Layers) != 1 {
		t.Fatalf("%v: %+v", err, m)
	}
	if m.Subject == nil || m.Subject.Digest != of.Digest || m.Subject.Size != of.Size || m.Subject.MediaType != of.MediaType {
		t.Errorf("it is about %+v, want %+v", m.Subject, of)
	}
	l, err := artifact.LayerByDigest(m.Layers[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	r, err := l.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	if content, err := io.ReadAll(r); err != nil || string(content) != "a document" {
		t.Errorf("%v: it is %q", err, content)
	}
}

func TestRoots(t *testing.T) {
	roots := image.Roots()
	n := bytes.Count(roots, []byte("BEGIN CERTIFICATE"))
	if n < 80 || !x509.NewCertPool().AppendCertsFromPEM(roots) {
		t.Errorf("%d certificates", n)
	}
}
