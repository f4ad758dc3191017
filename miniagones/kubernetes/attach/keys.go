package attach

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"torikumi/pkg/problem"
	"torikumi/pkg/service"
)

// Keys serves, on loopback, what a Service of the cluster has at a URL that only the
// cluster reaches, http://NAME.NAMESPACE.svc:PORT/PATH, through the API server. It returns
// the URL there, and what ends it. Any other URL is returned as it is.
func (c *Cluster) Keys(raw string) (at string, stop func(), err error) {
	path, inside := servicePath(raw)
	if !inside {
		return raw, func() {}, nil
	}
	config := rest.CopyConfig(c.config)
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	api, err := rest.UnversionedRESTClientForConfigAndClient(config, &http.Client{Transport: c.login, Timeout: callTimeout})
	if err != nil {
		return "", nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("listen for the keys: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /jwks.json", func(w http.ResponseWriter, r *http.Request) {
		body, err := api.Get().AbsPath(path).MaxRetries(0).DoRaw(r.Context())
		if err != nil {
			problem.Write(w, http.StatusBadGateway, c.explain(err).Error())
			return
		}
		w.Header().Set("Content-Type", "application/jwk-set+json")
		_, _ = w.Write(body) // the caller is gone if this fails
	})
	server := &http.Server{Handler: service.LocalOnly(mux), ReadHeaderTimeout: callTimeout}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(lis) }()
	return "http://" + lis.Addr().String() + "/jwks.json", func() { _ = server.Close(); <-served }, nil
}

// CheckKeys has the keys fetched once, to say at once what keeps everybody out.
func CheckKeys(ctx context.Context, at string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return err
	}
	client := http.Client{Timeout: callTimeout, Transport: &http.Transport{DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	var p problem.Problem
	if json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&p) == nil && p.Detail != "" {
		return errors.New(p.Detail)
	}
	return fmt.Errorf("%s: %s", at, resp.Status)
}

// servicePath is the path of the API server that leads to a URL inside the cluster.
func servicePath(raw string) (string, bool) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", false
	}
	parts := strings.Split(u.Hostname(), ".")
	if len(parts) < 3 || parts[2] != "svc" {
		return "", false
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return fmt.Sprintf("/api/v1/namespaces/%s/services/%s:%s:%s/proxy%s", parts[1], u.Scheme, parts[0], port, u.EscapedPath()), true
}
