package token

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// maxJWKSSize is far more than any issuer publishes.
const maxJWKSSize = 256 << 10

// fetcher gets a key set over HTTP.
type fetcher struct {
	url        string
	client     *http.Client
	algorithms []Algorithm
}

// fetched is the outcome of a fetch.
type fetched struct {
	// unchanged means that the set with the entity tag sent is still current.
	unchanged bool
	keys      map[string]crypto.PublicKey
	etag      string
}

func newFetcher(opts *RemoteOptions) fetcher {
	client := http.Client{Transport: &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		ForceAttemptHTTP2:   true,
		TLSHandshakeTimeout: opts.FetchTimeout,
		IdleConnTimeout:     time.Minute,
		MaxIdleConns:        1,
	}}
	if opts.HTTPClient != nil {
		client = *opts.HTTPClient
	}
	// Keys come from where the operator said, and from nowhere else.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return fetcher{url: opts.URL, client: &client, algorithms: opts.Algorithms}
}

func (f *fetcher) fetch(ctx context.Context, etag string) (fetched, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url, nil)
	if err != nil {
		return fetched{}, fmt.Errorf("fetch keys: %w", err)
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	if etag != "" {
		req.Header.Set("If-None-Match", etag)
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return fetched{}, fmt.Errorf("fetch keys: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotModified && etag != "" {
		return fetched{unchanged: true}, nil
	}
	if resp.StatusCode != http.StatusOK {
		return fetched{}, fmt.Errorf("fetch keys from %q: status %d", f.url, resp.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxJWKSSize+1))
	if err != nil {
		return fetched{}, fmt.Errorf("fetch keys: %w", err)
	}
	if len(data) > maxJWKSSize {
		return fetched{}, errors.New("fetch keys: key set too large")
	}
	keys, err := parseJWKS(data, f.algorithms)
	if err != nil {
		return fetched{}, fmt.Errorf("fetch keys from %q: %w", f.url, err)
	}
	return fetched{keys: keys, etag: resp.Header.Get("ETag")}, nil
}
