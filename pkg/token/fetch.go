package token

import (
	"context"
	"crypto"
	"fmt"
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
	url, err := r.keysURL(ctx)
	if err != nil {
		return nil, "", err
	}
	data, newTag, err := r.get(ctx, url, "application/jwk-set+json, application/json", etag)
	if err != nil {
		return nil, "", fmt.Errorf("fetch keys: %w", err)
	}
	if data == nil {
		return nil, newTag, nil
	}
	if keys, err = parseJWKS(data, r.opts.Algorithms, r.opts.NoKeyIDs); err != nil {
		return nil, "", fmt.Errorf("fetch keys from %q: %w", url, err)
	}
	return keys, newTag, nil
}
