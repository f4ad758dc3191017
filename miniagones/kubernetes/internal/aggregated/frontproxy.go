package aggregated

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// configMap is where an API server tells the servers behind it how to know it.
var configMap = types.NamespacedName{Namespace: "kube-system", Name: "extension-apiserver-authentication"}

// frontProxy is how the API server proves itself, and tells who has called it.
type frontProxy struct {
	authorities *x509.CertPool
	// names are the common names that may come; empty: any.
	names                                 []string
	users, uids, groups, extrasStartsWith []string
}

// FrontProxy follows the ConfigMap. Make it with NewFrontProxy.
type FrontProxy struct {
	live    client.Reader
	log     *slog.Logger
	current atomic.Pointer[frontProxy]
}

// NewFrontProxy reads the ConfigMap for the first time.
func NewFrontProxy(ctx context.Context, live client.Reader, log *slog.Logger) (*FrontProxy, error) {
	f := &FrontProxy{live: live, log: log}
	return f, f.refresh(ctx)
}

// Run follows the ConfigMap until ctx ends: an authority may be replaced.
func (f *FrontProxy) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := f.refresh(ctx); err != nil && ctx.Err() == nil {
				f.log.Error("how the API server proves itself can't be read again", "error", err)
			}
		}
	}
}

func (f *FrontProxy) refresh(ctx context.Context) error {
	m := new(corev1.ConfigMap)
	if err := f.live.Get(ctx, configMap, m); err != nil {
		return fmt.Errorf("read ConfigMap %s: %w", configMap, err)
	}
	p := &frontProxy{authorities: x509.NewCertPool()}
	if !p.authorities.AppendCertsFromPEM([]byte(m.Data["requestheader-client-ca-file"])) {
		return fmt.Errorf("ConfigMap %s: requestheader-client-ca-file: must be a certificate: the API server has to be started with --requestheader-client-ca-file and --proxy-client-cert-file", configMap)
	}
	for key, list := range map[string]*[]string{
		"requestheader-allowed-names": &p.names, "requestheader-username-headers": &p.users, "requestheader-uid-headers": &p.uids,
		"requestheader-group-headers": &p.groups, "requestheader-extra-headers-prefix": &p.extrasStartsWith,
	} {
		text := m.Data[key]
		if text == "" {
			continue
		}
		if err := json.Unmarshal([]byte(text), list); err != nil {
			return fmt.Errorf("ConfigMap %s: %s: must be a list of texts: %w", configMap, key, err)
		}
	}
	if len(p.users) == 0 {
		return fmt.Errorf("ConfigMap %s: requestheader-username-headers: must name a header", configMap)
	}
	f.current.Store(p)
	return nil
}

// TLS demands a certificate of the API server's authority.
func (f *FrontProxy) TLS(certificate func() tls.Certificate) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return &tls.Config{
			MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, Certificates: []tls.Certificate{certificate()},
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: f.current.Load().authorities,
		}, nil
	}}
}

var errNotFrontProxy = errors.New("the certificate is not the API server's")

// user returns who has made a request that the API server passes on. The headers
// are believed only beside the API server's own certificate.
func (f *FrontProxy) user(r *http.Request) (*authorizationv1.SubjectAccessReviewSpec, error) {
	p := f.current.Load()
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return nil, errNotFrontProxy
	}
	if name := r.TLS.VerifiedChains[0][0].Subject.CommonName; len(p.names) > 0 && !slices.Contains(p.names, name) {
		return nil, errNotFrontProxy
	}
	who := &authorizationv1.SubjectAccessReviewSpec{
		User: first(r.Header, p.users), UID: first(r.Header, p.uids), Extra: make(map[string]authorizationv1.ExtraValue),
	}
	if who.User == "" {
		return nil, errors.New("the request names no user")
	}
	for _, h := range p.groups {
		who.Groups = append(who.Groups, r.Header.Values(h)...)
	}
	for header, values := range r.Header {
		for _, prefix := range p.extrasStartsWith {
			if len(header) <= len(prefix) || !strings.EqualFold(header[:len(prefix)], prefix) {
				continue
			}
			key := strings.ToLower(header[len(prefix):])
			if plain, err := url.PathUnescape(key); err == nil {
				key = plain
			}
			who.Extra[key] = append(who.Extra[key], values...)
		}
	}
	return who, nil
}

func first(h http.Header, names []string) string {
	for _, n := range names {
		if v := h.Get(n); v != "" {
			return v
		}
	}
	return ""
}
