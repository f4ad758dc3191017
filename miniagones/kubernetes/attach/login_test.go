package attach

import (
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// TestLogin: a request that is refused is made again with the credentials that the file has
// then, and those are kept; not with those for another cluster.
func TestLogin(t *testing.T) {
	var good atomic.Value
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		body, _ := io.ReadAll(r.Body)
		if r.Header.Get("Authorization") != "Bearer "+good.Load().(string) || string(body) != "what is sent" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer server.Close()
	file := &rest.Config{Host: server.URL, BearerToken: "one"}
	l, err := newLogin(func() (*rest.Config, error) { return rest.CopyConfig(file), nil })
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, good, host, token string
		status                  int
		calls                   int32
	}{
		{"good", "one", server.URL, "one", http.StatusOK, 1},
		{"expired", "two", server.URL, "one", http.StatusUnauthorized, 1},
		{"logged in elsewhere", "two", "http://127.0.0.1:1", "two", http.StatusUnauthorized, 1},
		{"logged in", "two", server.URL, "two", http.StatusOK, 2},
		{"known from now on", "two", server.URL, "two", http.StatusOK, 1},
		{"not good either", "four", server.URL, "three", http.StatusUnauthorized, 2},
	} {
		good.Store(c.good)
		calls.Store(0)
		file.Host, file.BearerToken = c.host, c.token
		resp, err := (&http.Client{Transport: l}).Post(server.URL, "text/plain", strings.NewReader("what is sent"))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != c.status || calls.Load() != c.calls {
			t.Errorf("%s: %s after %d calls, want %d after %d", c.name, resp.Status, calls.Load(), c.status, c.calls)
		}
	}
}

// TestContextStays: the context is the one that was current at the start, whatever becomes
// the current one: credentials of another cluster are none of this one.
func TestContextStays(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kubeconfig")
	write := func(current string) {
		t.Helper()
		k := clientcmdapi.NewConfig()
		for _, name := range []string{"here", "there"} {
			k.Clusters[name] = &clientcmdapi.Cluster{Server: "https://" + name + ".example"}
			k.Contexts[name] = &clientcmdapi.Context{Cluster: name}
		}
		k.CurrentContext = current
		if err := clientcmd.WriteToFile(*k, file); err != nil {
			t.Fatal(err)
		}
	}
	write("here")
	c, err := Open(file, "")
	if err != nil || c.Context != "here" {
		t.Fatalf("%+v, %v", c, err)
	}
	write("there")
	if again, err := c.login.load(); err != nil || again.Host != "https://here.example" {
		t.Errorf("%+v, %v", again, err)
	}
}
