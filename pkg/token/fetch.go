package token

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// maxJWKSSize is far more than any issuer publishes.
const maxJWKSSize = 256 << 10

func newClient(opts *RemoteOptions) *http.Client {
	client := http.Client{Transport: &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		ForceAttemptHTTP2:   true,
		TLSHandshakeTimeout: opts.FetchTimeout,
	}}
	if opts.HTTPClient != nil {
		client = *opts.HTTPClient
	}
	// Keys come from where the operator said, and from nowhere else.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &client
}

// fetch returns no keys if the set with the entity tag is still current.
func (r *RemoteKeys) fetch(ctx context.Context, etag string) (keys map[string]crypto.PublicKey, newTag string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.opts.URL, nil)
	if err != nil {
		return nil, "", fmt.Errorf("fetch keys: %w", err)
	}
	// A connection may have come to a wrong place, such as one past a Service whose
	// rules were not there yet: the next fetch gets one of its own.
	req.Close = true
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	if etag != "" {
		req.Header.Set("If-None-Match", etag)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, "", fmt.Errorf("fetch keys: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotModified && etag != "" {
		return nil, etag, nil
	}
	if resp.StatusCode != http.StatusOK {
		return nil, "", fmt.Errorf("fetch keys from %q: status %d", r.opts.URL, resp.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxJWKSSize+1))
	if err != nil {
		return nil, "", fmt.Errorf("fetch keys: %w", err)
	}
	if len(data) > maxJWKSSize {
		return nil, "", errors.New("fetch keys: key set too large")
	}
	if keys, err = parseJWKS(data, r.opts.Algorithms); err != nil {
		return nil, "", fmt.Errorf("fetch keys from %q: %w", r.opts.URL, err)
	}
	return keys, resp.Header.Get("ETag"), nil
}
