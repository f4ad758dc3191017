package registry_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"torikumi/test/cluster/internal/registry"
)

// serve runs one, for nodes in a network of their own, and returns a reference in it.
func serve(t *testing.T, folder string) name.Reference {
	t.Helper()
	server := httptest.NewServer(registry.New(folder, nodes))
	t.Cleanup(server.Close)
	ref, err := name.ParseReference(strings.TrimPrefix(server.URL, "http://") + "/some/image:tag")
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

var nodes = netip.MustParsePrefix("10.77.3.0/24")

func TestImagesComeBack(t *testing.T) {
	folder := t.TempDir()
	ref := serve(t, folder)
	pushed, err := random.Image(1000, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, pushed); err != nil {
		t.Fatal(err)
	}
	pulled, err := remote.Image(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(pulled); err != nil {
		t.Error(err)
	}
	want, _ := pushed.Digest()
	if got, err := pulled.Digest(); err != nil || got != want {
		t.Errorf("pulled %s, %v; pushed %s", got, err, want)
	}
	if blobs, err := os.ReadDir(folder); err != nil || len(blobs) == 0 {
		t.Errorf("nothing is on disk: %v", err)
	}
}

func TestWhoMayUseIt(t *testing.T) {
	for from, want := range map[string]int{
		"127.0.0.1:1000":          http.StatusOK,
		"10.77.3.2:1000":          http.StatusOK, // a node
		"[::ffff:10.77.3.2]:1000": http.StatusOK,
		"10.77.4.2:1000":          http.StatusForbidden,
		"10.128.0.7:1000":         http.StatusForbidden, // a pod
		"[2001:db8::1]:1000":      http.StatusForbidden,
		"nobody":                  http.StatusForbidden,
	} {
		request := httptest.NewRequest(http.MethodGet, "/v2/", nil)
		request.RemoteAddr = from
		answer := httptest.NewRecorder()
		registry.New(t.TempDir(), nodes).ServeHTTP(answer, request)
		if answer.Code != want {
			t.Errorf("%s is answered %d, want %d", from, answer.Code, want)
		}
	}
}
