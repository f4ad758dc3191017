package token

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// discoveryPath is where an issuer says where its keys are (OpenID Connect Discovery
// 1.0, section 4).
const discoveryPath = "/.well-known/openid-configuration"

// keysURL returns where the keys are: as the options say, or as the issuer said when
// it was last asked, which is again whenever keys could not be fetched.
func (r *RemoteKeys) keysURL(ctx context.Context) (string, error) {
	if r.opts.URL != "" {
		return r.opts.URL, nil
	}
	r.mu.Lock()
	known, failed := r.discovered, r.err != nil
	r.mu.Unlock()
	if known != "" && !failed {
		return known, nil
	}
	found, err := r.discover(ctx)
	if err != nil {
		return "", fmt.Errorf("discover issuer %q: %w", r.opts.Issuer, err)
	}
	r.mu.Lock()
	r.discovered = found
	r.mu.Unlock()
	return found, nil
}

func (r *RemoteKeys) discover(ctx context.Context) (string, error) {
	data, _, err := r.get(ctx, strings.TrimSuffix(r.opts.Issuer, "/")+discoveryPath, "application/json", "")
	if err != nil {
		return "", err
	}
	document, err := parseObject(data)
	if err != nil {
		return "", err
	}
	c := Claims(document)
	if c.Text("issuer") != r.opts.Issuer {
		return "", errors.New("the document is another issuer's")
	}
	if err := validateURL(c.Text("jwks_uri"), r.opts.AllowHTTP); err != nil {
		return "", fmt.Errorf("jwks_uri: %w", err)
	}
	return c.Text("jwks_uri"), nil
}

// get fetches a document. Without data it has not changed since the entity tag.
func (r *RemoteKeys) get(ctx context.Context, url, accept, etag string) (data []byte, newTag string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, "", err
	}
	// A connection may have come to a wrong place, such as one past a Service whose
	// rules were not there yet: the next fetch gets one of its own.
	req.Close = true
	req.Header.Set("Accept", accept)
	if etag != "" {
		req.Header.Set("If-None-Match", etag)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotModified && etag != "" {
		return nil, etag, nil
	}
	if resp.StatusCode != http.StatusOK {
		return nil, "", fmt.Errorf("%q: status %d", url, resp.StatusCode)
	}
	data, err = io.ReadAll(io.LimitReader(resp.Body, maxJWKSSize+1))
	if err != nil {
		return nil, "", err
	}
	if len(data) > maxJWKSSize {
		return nil, "", fmt.Errorf("%q: more than %d bytes", url, maxJWKSSize)
	}
	return data, resp.Header.Get("ETag"), nil
}
