package image_test

import (
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"torikumi/images/internal/image"
)

func base(t *testing.T) image.Image {
	t.Helper()
	b, err := image.NewBuilder(stamp)
	if err != nil {
		t.Fatal(err)
	}
	img, err := b.Build("base", []string{"amd64", "arm64"}, nil)
	if err == nil {
		err = b.Attach(&img, []byte(`{"a":"document"}`))
	}
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func newRegistry() http.Handler {
	return registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true))
}

func TestPush(t *testing.T) {
	server := httptest.NewServer(newRegistry())
	defer server.Close()
	img := base(t)
	r := image.Registry{Prefix: strings.TrimPrefix(server.URL, "http://") + "/games/torikumi"}
	pushed, err := r.Push(t.Context(), img, "v1")
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(r.Prefix + "/base:v1")
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Index(tag)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	digest, _ := index.Digest()
	if want, _ := img.Index.Digest(); digest != want || pushed != tag.Digest(want.String()).String() {
		t.Errorf("%s and %s, want %s", digest, pushed, want)
	}
	referrers, err := remote.Referrers(tag.Digest(digest.String()))
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := referrers.IndexManifest()
	want, _ := img.SBOM.Digest()
	if err != nil || len(manifest.Manifests) != 1 || manifest.Manifests[0].Digest != want {
		t.Errorf("%v: referrers %+v, want %s", err, manifest, want)
	}
}

// TestPushWithoutTLS has a registry at an address of a network.
func TestPushWithoutTLS(t *testing.T) {
	address := networkAddress(t)
	listener, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(newRegistry())
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	defer server.Close()
	r := image.Registry{Prefix: listener.Addr().String() + "/torikumi"}
	if _, err := r.Push(t.Context(), base(t), "v1"); err == nil || !strings.Contains(err.Error(), "has no TLS: --plain-http allows that") {
		t.Errorf("without TLS: %v", err)
	}
	r.PlainHTTP = true
	if _, err := r.Push(t.Context(), base(t), "v1"); err != nil {
		t.Errorf("allowed, and yet: %v", err)
	}
}

func networkAddress(t *testing.T) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.To4() != nil && ip.IP.IsPrivate() {
			return ip.IP.String()
		}
	}
	t.Skip("this machine has no private address")
	return ""
}
