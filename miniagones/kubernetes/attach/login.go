package attach

import (
	"io"
	"net/http"
	"reflect"
	"sync"

	"k8s.io/client-go/rest"
)

// login carries requests to the API server. When that does not take the credentials any
// more, the kubeconfig file is read again: whoever has logged in anew goes on.
type login struct {
	load func() (*rest.Config, error)

	mu      sync.Mutex
	config  *rest.Config
	through http.RoundTripper
}

// newLogin reads the kubeconfig file.
func newLogin(load func() (*rest.Config, error)) (*login, error) {
	config, err := load()
	if err != nil {
		return nil, err
	}
	through, err := rest.TransportFor(config)
	if err != nil {
		return nil, err
	}
	return &login{load: load, config: config, through: through}, nil
}

// RoundTrip is http.RoundTripper's.
func (l *login) RoundTrip(r *http.Request) (*http.Response, error) {
	l.mu.Lock()
	through := l.through
	l.mu.Unlock()
	resp, err := through.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusUnauthorized || (r.Body != nil && r.GetBody == nil) {
		return resp, err
	}
	next := l.instead(through)
	if next == nil {
		return resp, nil
	}
	again := r.Clone(r.Context())
	if r.GetBody != nil {
		if again.Body, err = r.GetBody(); err != nil {
			return resp, nil
		}
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
	_ = resp.Body.Close()
	return next.RoundTrip(again)
}

// instead is what has other credentials than a transport, for the same cluster; nil if there
// are none.
func (l *login) instead(of http.RoundTripper) http.RoundTripper {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.through != of {
		return l.through
	}
	config, err := l.load()
	if err != nil || config.Host != l.config.Host || sameUser(config, l.config) {
		return nil
	}
	through, err := rest.TransportFor(config)
	if err != nil {
		return nil
	}
	l.config, l.through = config, through
	return through
}

// sameUser compares what a login changes. Certificates and tokens in files of their own, and
// programs that bring them, are followed by client-go.
func sameUser(a, b *rest.Config) bool {
	return a.BearerToken == b.BearerToken && a.Username == b.Username && a.Password == b.Password && reflect.DeepEqual(a.TLSClientConfig, b.TLSClientConfig)
}
