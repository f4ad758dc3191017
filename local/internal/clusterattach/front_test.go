//go:build unix

package clusterattach_test

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"torikumi/miniagones/kubernetes/kubetest"
)

// front is before an API server, and takes tokens of its own.
type front struct {
	http.Handler
	url string
	// disconnect ends all connections; more may come.
	disconnect func()
	ca         []byte
	mu         sync.Mutex
	good       string
	fail       func(*http.Request) bool
}

// newFront takes no token yet.
func newFront(t *testing.T, cluster *kubetest.Cluster) *front {
	t.Helper()
	config := rest.CopyConfig(cluster.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: "dev", Groups: []string{"game-developers", "system:authenticated"}}
	transport, err := rest.TransportFor(config)
	if err != nil {
		t.Fatal(err)
	}
	to, err := url.Parse(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	f := &front{Handler: &httputil.ReverseProxy{
		Transport: transport, FlushInterval: -1, ErrorHandler: func(http.ResponseWriter, *http.Request, error) {}, // of a caller that is gone
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to); r.Out.Header.Del("Authorization") },
	}}
	s := httptest.NewTLSServer(f)
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	f.disconnect = s.CloseClientConnections
	f.url, f.ca = s.URL, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	return f
}

func (f *front) takes(token string, fail func(*http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.good, f.fail = token, fail
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	known, fails := r.Header.Get("Authorization") == "Bearer "+f.good, f.fail != nil && f.fail(r)
	f.mu.Unlock()
	switch {
	case !known:
		http.Error(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Unauthorized","code":401}`, http.StatusUnauthorized)
	case fails:
		http.Error(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"InternalError","message":"etcdserver: leader changed","code":500}`, http.StatusInternalServerError)
	default:
		f.Handler.ServeHTTP(w, r)
	}
}

// login writes a kubeconfig that reaches the cluster through a front, with a token.
func (d *desk) login(f *front, token string) {
	d.t.Helper()
	k := clientcmdapi.NewConfig()
	k.Clusters["test"] = &clientcmdapi.Cluster{Server: f.url, CertificateAuthorityData: f.ca}
	k.AuthInfos["dev"] = &clientcmdapi.AuthInfo{Token: token}
	if !strings.HasSuffix(d.kubeconfig, "-front") {
		d.kubeconfig = filepath.Join(d.t.TempDir(), "kubeconfig-front")
	}
	d.write(k, d.kubeconfig)
}
