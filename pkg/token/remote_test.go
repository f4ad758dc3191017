package token_test

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"torikumi/pkg/token"
	"torikumi/pkg/token/tokentest"
)

// wire is a network without sockets: requests go straight to a handler, so that
// time can be the test's own.
type wire struct {
	mu      sync.Mutex
	handler http.Handler // nil: nobody listens
	fetches atomic.Int64
}

var errDown = errors.New("connection refused")

func (w *wire) set(h http.Handler) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.handler = h
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.fetches.Add(1)
	w.mu.Lock()
	h := w.handler
	w.mu.Unlock()
	if h == nil {
		return nil, errDown
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return rec.Result(), nil
}

func newRemote(t testing.TB, rt http.RoundTripper, change func(*token.RemoteOptions)) *token.RemoteKeys {
	t.Helper()
	opts := token.RemoteOptions{
		URL: "https://frontend.example" + token.JWKSPath, Algorithms: []token.Algorithm{token.ES256},
		HTTPClient: &http.Client{Transport: rt}, Logger: quiet,
	}
	if change != nil {
		change(&opts)
	}
	r, err := token.NewRemoteKeys(opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// start runs r until the returned function is called.
func start(t testing.TB, r *token.RemoteKeys) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v after cancel", err)
		}
	}
}

// after lets everybody act until d has passed.
func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func text(s string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) })
}

func jwk(key *ecdsa.PrivateKey, kid string) tokentest.Object {
	raw, err := key.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	return tokentest.Object{"kty": "EC", "crv": "P-256", "x": tokentest.B64(raw[1:33]), "y": tokentest.B64(raw[33:]), "kid": kid, "use": "sig", "alg": "ES256"}
}

func TestRemoteKeySets(t *testing.T) {
	one := jwk(tokentest.EC(), "one")
	rsaJWK := tokentest.Object{"kty": "RSA", "n": tokentest.B64(tokentest.RSA().N.Bytes()), "e": "AQAB", "kid": "rsa", "alg": "RS256"}
	weak := tokentest.WeakRSA()
	set := func(keys ...tokentest.Object) string { return tokentest.Object{"keys": keys}.JSON() }
	bare := one.With(tokentest.Object{"use": nil, "alg": nil})
	for name, test := range map[string]struct {
		body string
		ids  []string // nil: the set is refused
	}{
		"one":                  {set(one), []string{"one"}},
		"neither use nor alg":  {set(bare), []string{"one"}},
		"for verifying":        {set(bare.With(tokentest.Object{"key_ops": []string{"verify"}})), []string{"one"}},
		"RSA too":              {set(one, rsaJWK), []string{"one", "rsa"}},
		"certificate ignored":  {set(one.With(tokentest.Object{"x5c": []string{"rubbish"}, "x5t": "x"})), []string{"one"}},
		"encryption key":       {set(one, jwk(tokentest.EC(), "enc").With(tokentest.Object{"use": "enc"})), []string{"one"}},
		"encryption, no kid":   {set(one, jwk(tokentest.EC(), "").With(tokentest.Object{"use": "enc", "kid": nil})), []string{"one"}},
		"for encrypting":       {set(one, bare.With(tokentest.Object{"key_ops": []string{"encrypt"}})), []string{"one"}},
		"PS256":                {set(one, rsaJWK.With(tokentest.Object{"alg": "PS256"})), []string{"one"}},
		"other curve":          {set(one, tokentest.Object{"kty": "EC", "crv": "P-384", "kid": "x", "x": "AA", "y": "AA"}), []string{"one"}},
		"other type":           {set(one, tokentest.Object{"kty": "OKP", "crv": "Ed25519", "kid": "x", "x": "AA"}), []string{"one"}},
		"private EC key":       {set(one.With(tokentest.Object{"d": "AAAA"})), nil},
		"private RSA key":      {set(one, rsaJWK.With(tokentest.Object{"p": "AAAA"})), nil},
		"private for encoding": {set(one, jwk(tokentest.EC(), "enc").With(tokentest.Object{"use": "enc", "d": "AA"})), nil},
		"symmetric key":        {set(one, tokentest.Object{"kty": "oct", "k": "AAAA", "kid": "x"}), nil},
		"symmetric without k":  {set(one, tokentest.Object{"kty": "oct", "kid": "x"}), nil},
		"kid twice":            {set(one, jwk(tokentest.EC(), "one")), nil},
		"no kid":               {set(one.With(tokentest.Object{"kid": nil})), nil},
		"kid with newline":     {set(one.With(tokentest.Object{"kid": "a\n"})), nil},
		"weak RSA key":         {set(one, tokentest.Object{"kty": "RSA", "n": tokentest.B64(weak.N.Bytes()), "e": "AQAB", "kid": "weak"}), nil},
		"RSA exponent 1":       {set(one, rsaJWK.With(tokentest.Object{"e": "AQ"})), nil},
		"point off the curve":  {set(one.With(tokentest.Object{"x": tokentest.B64(make([]byte, 32))})), nil},
		"short coordinate":     {set(one.With(tokentest.Object{"x": "AAAA"})), nil},
		"no keys":              {set(), nil},
		"none for us":          {set(one.With(tokentest.Object{"use": "enc"})), nil},
		"not a list":           {`{"keys":{}}`, nil},
		"list of numbers":      {`{"keys":[1]}`, nil},
		"nothing":              {``, nil},
		"HTML":                 {`<html>sign in</html>`, nil},
		"keys twice":           {`{"keys":[],"keys":[` + one.JSON() + `]}`, nil},
		"member twice":         {`{"keys":[` + strings.TrimSuffix(one.JSON(), "}") + `,"kid":"two"}]}`, nil},
		"too large":            {set(one) + strings.Repeat(" ", 300<<10), nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := &wire{handler: text(test.body)}
			r := newRemote(t, w, func(o *token.RemoteOptions) { o.Algorithms = []token.Algorithm{token.ES256, token.RS256} })
			err := r.Refresh(t.Context())
			if got := r.Status().KeyIDs; (err == nil) != (test.ids != nil) || !slices.Equal(got, test.ids) {
				t.Errorf("keys %v, error %v; want %v", got, err, test.ids)
			}
		})
	}
}

func TestRemoteOptions(t *testing.T) {
	es := []token.Algorithm{token.ES256}
	for name, opts := range map[string]token.RemoteOptions{
		"no URL":             {Algorithms: es},
		"relative URL":       {URL: "/jwks.json", Algorithms: es},
		"file":               {URL: "file:///etc/jwks.json", Algorithms: es},
		"user":               {URL: "https://a:b@c/jwks.json", Algorithms: es},
		"plain HTTP":         {URL: "http://frontend.games.svc/jwks.json", Algorithms: es},
		"localhost in front": {URL: "http://localhost.evil.example/jwks.json", Algorithms: es},
		"no algorithms":      {URL: "https://a/jwks.json"},
		"HS256":              {URL: "https://a/jwks.json", Algorithms: []token.Algorithm{"HS256"}},
	} {
		if _, err := token.NewRemoteKeys(opts); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for name, opts := range map[string]token.RemoteOptions{
		"loopback":   {URL: "http://127.0.0.1:1/jwks.json", Algorithms: es},
		"IPv6":       {URL: "http://[::1]:1/jwks.json", Algorithms: es},
		"localhost":  {URL: "http://localhost:1/jwks.json", Algorithms: es},
		"allowed":    {URL: "http://frontend.games.svc/jwks.json", Algorithms: es, AllowHTTP: true},
		"encryption": {URL: "https://frontend.games.svc/jwks.json", Algorithms: es},
	} {
		if _, err := token.NewRemoteKeys(opts); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRemoteOverHTTP uses real sockets and the client of its own.
func TestRemoteOverHTTP(t *testing.T) {
	keys := tokentest.NewIssuer(tokentest.EC())
	mux := http.NewServeMux()
	var conditional atomic.Int64
	mux.HandleFunc(token.JWKSPath, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") != "" {
			conditional.Add(1)
		}
		keys.ServeHTTP(w, r)
	})
	mux.Handle("/moved", http.RedirectHandler(token.JWKSPath, http.StatusFound))
	mux.HandleFunc("/gone", http.NotFound)
	hang := make(chan struct{})
	mux.HandleFunc("/hang", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	defer close(hang)
	remote := func(path string) *token.RemoteKeys {
		return newRemote(t, nil, func(o *token.RemoteOptions) {
			o.URL, o.HTTPClient, o.FetchTimeout = server.URL+path, nil, 200*time.Millisecond
			if path == token.JWKSPath {
				o.FetchTimeout = 0
			}
		})
	}
	for _, path := range []string{"/moved", "/gone", "/hang"} {
		r := remote(path)
		if err := r.Refresh(t.Context()); err == nil {
			t.Errorf("%s: no error", path)
		}
		if _, err := r.Key(t.Context(), "x"); !errors.Is(err, token.ErrKeysUnavailable) {
			t.Errorf("%s: %v, want ErrKeysUnavailable", path, err)
		}
	}
	r := remote(token.JWKSPath)
	stop := start(t, r)
	defer stop()
	for range 2 {
		if err := r.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if conditional.Load() == 0 {
		t.Error("a second fetch asks for the whole set again")
	}
	if _, err := r.Key(t.Context(), keys.KeyID); err != nil {
		t.Error(err)
	}
}

// TestWrongPlace: the first connection comes to a server that has no keys, and
// keeps it open. The next fetch comes to the right one.
func TestWrongPlace(t *testing.T) {
	keys := tokentest.NewIssuer(tokentest.EC())
	type place struct{}
	var connections atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Context().Value(place{}) == int64(1) {
			w.WriteHeader(http.StatusNotFound) // without a body: the client keeps the connection
			return
		}
		keys.ServeHTTP(w, r)
	}))
	server.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, place{}, connections.Add(1))
	}
	server.Start()
	defer server.Close()
	for _, client := range []*http.Client{nil, server.Client()} {
		connections.Store(0)
		r := newRemote(t, nil, func(o *token.RemoteOptions) {
			o.URL, o.HTTPClient, o.FetchTimeout = server.URL+token.JWKSPath, client, 0
		})
		if err := r.Refresh(t.Context()); err == nil {
			t.Error("there are keys at a wrong place")
		}
		if err := r.Refresh(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestUnknownKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := tokentest.NewIssuer(tokentest.EC())
		release := make(chan struct{})
		w := &wire{handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			<-release
			keys.ServeHTTP(w, r)
		})}
		r := newRemote(t, w, nil)
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				_, err := r.Key(t.Context(), fmt.Sprint("forged-", i))
				if !errors.Is(err, token.ErrUnknownKey) {
					t.Errorf("%v, want ErrUnknownKey", err)
				}
			})
		}
		wg.Go(func() {
			if _, err := r.Key(t.Context(), keys.KeyID); err != nil {
				t.Errorf("the real key: %v", err)
			}
		})
		// A caller that gives up does not take the fetch away from the others.
		ctx, cancel := context.WithCancel(t.Context())
		wg.Go(func() {
			if _, err := r.Key(ctx, "impatient"); !errors.Is(err, token.ErrKeysUnavailable) || !errors.Is(err, context.Canceled) {
				t.Errorf("impatient caller: %v", err)
			}
		})
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(release)
		wg.Wait()
		if got := w.fetches.Load(); got != 1 {
			t.Errorf("%d fetches for 102 callers, want 1", got)
		}
		for second := range 30 {
			if _, err := r.Key(t.Context(), "forged"); !errors.Is(err, token.ErrUnknownKey) {
				t.Errorf("second %d: %v", second, err)
			}
			after(time.Second)
		}
		if got := w.fetches.Load(); got != 3 {
			t.Errorf("%d fetches after 30 s of forged ids, want 3", got)
		}
	})
}

// TestFloodOfForgedIDs: a key that is published while forged ids keep coming is known
// within the interval; until then its tokens are refused as retryable.
func TestFloodOfForgedIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before, after := tokentest.NewIssuer(tokentest.EC()), tokentest.NewIssuer(tokentest.EC())
		w := &wire{handler: before}
		r := newRemote(t, w, nil)
		if _, err := r.Key(t.Context(), before.KeyID); err != nil {
			t.Fatal(err)
		}
		for emergency := range 5 {
			// Published at the worst time: right after a fetch.
			for fetches := w.fetches.Load(); w.fetches.Load() == fetches; time.Sleep(100 * time.Millisecond) {
				if _, err := r.Key(t.Context(), "forged"); !errors.Is(err, token.ErrUnknownKey) {
					t.Fatal(err)
				}
			}
			before, after = after, before
			w.set(before)
			published := time.Now()
			for n := 0; ; n++ {
				_, err := r.Key(t.Context(), before.KeyID)
				if err == nil {
					break
				}
				if waited := time.Since(published); !errors.Is(err, token.ErrKeyNotAsked) || waited > token.UnknownKeyInterval {
					t.Fatalf("emergency %d: %v after %v", emergency, err, waited)
				}
				for i := range 10 {
					_, err := r.Key(t.Context(), fmt.Sprint("forged-", n, "-", i))
					if !errors.Is(err, token.ErrUnknownKey) {
						t.Fatal(err)
					}
				}
				time.Sleep(100 * time.Millisecond)
			}
		}
	})
}

func TestBeforeFirstFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := tokentest.NewIssuer(tokentest.EC())
		w := &wire{}
		logged := &tokentest.Log{}
		r := newRemote(t, w, func(o *token.RemoteOptions) { o.Logger = logged.Logger() })
		raw := keys.Forge(time.Now()).Claims(nil)
		v := newVerifier(t, r, token.ES256, nil)
		stop := start(t, r)
		defer stop()
		for range 10 {
			_, err := v.Verify(t.Context(), raw, want)
			var refusal *token.Refusal
			if !errors.As(err, &refusal) || refusal.Reason != token.ReasonKeysUnavailable || !refusal.Retryable() {
				t.Fatalf("while the frontend is down: %v", err)
			}
			after(time.Second)
		}
		if got := w.fetches.Load(); got < 4 || got > 12 {
			t.Errorf("%d fetches in 10 s, want a few, further and further apart", got)
		}
		w.set(keys)
		after(10 * time.Second)
		if _, err := v.Verify(t.Context(), raw, want); err != nil {
			t.Errorf("10 s after the frontend came up: %v", err)
		}
		for _, message := range []string{"verification keys cannot be fetched", "verification keys can be fetched again", "verification keys changed"} {
			if got := logged.Count(message); got != 1 {
				t.Errorf("%q logged %d times, want once", message, got)
			}
		}
	})
}

func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := tokentest.NewIssuer(tokentest.EC())
		w := &wire{handler: keys}
		r := newRemote(t, w, nil)
		stop := start(t, r)
		defer stop()
		after(time.Second)
		v := newVerifier(t, r, token.ES256, nil)
		check := func(when string, why token.Reason) {
			t.Helper()
			raw := keys.Forge(time.Now()).Claims(nil)
			if _, err := v.Verify(t.Context(), raw, want); tokentest.Reason(t, err) != why {
				t.Errorf("%s: %v, want %q", when, err, why)
			}
		}
		check("before", "")
		// Nobody there, errors, rubbish, and the keys of someone else who
		// shows private ones: all the same to players.
		for _, h := range []http.Handler{nil, http.NotFoundHandler(), text("<html>"), text(`{"keys":[]}`)} {
			w.set(h)
			after(5 * time.Hour)
			check("in the outage", "")
			// Whether the issuer has made a new key meanwhile, nobody knows.
			if _, err := r.Key(t.Context(), "new"); !errors.Is(err, token.ErrKeysUnavailable) {
				t.Errorf("unknown key in the outage: %v, want ErrKeysUnavailable", err)
			}
			if r.Status().Err == nil {
				t.Error("the outage does not show in the status")
			}
		}
		after(3*time.Hour + 50*time.Minute)
		check("nearly a day later", "")
		after(time.Hour)
		check("more than a day later", token.ReasonKeysUnavailable)
		if ids := r.Status().KeyIDs; len(ids) != 0 {
			t.Errorf("status shows %v after a day", ids)
		}
		w.set(keys)
		after(10 * time.Second)
		check("when it is over", "")
	})
}

// TestRevokedKey: a key that the issuer takes away is refused once the set has
// been fetched again.
func TestRevokedKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stolen, fresh := tokentest.NewIssuer(tokentest.EC()), tokentest.NewIssuer(tokentest.EC())
		w := &wire{handler: stolen}
		r := newRemote(t, w, nil)
		stop := start(t, r)
		defer stop()
		after(time.Second)
		w.set(fresh)
		after(token.DefaultRefresh)
		raw := stolen.Forge(time.Now()).Claims(nil)
		if _, err := newVerifier(t, r, token.ES256, nil).Verify(t.Context(), raw, want); tokentest.Reason(t, err) != token.ReasonUnknownKey {
			t.Errorf("revoked key: %v, want unknown_key", err)
		}
	})
}

// TestKeyNewerThanFetch: the issuer has answered a fetch before
// it published a key; a token with that key comes before the answer is here.
func TestKeyNewerThanFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, fresh := tokentest.NewIssuer(tokentest.EC()), tokentest.NewIssuer(tokentest.EC())
		release := make(chan struct{})
		first := true
		w := &wire{handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !first {
				fresh.ServeHTTP(w, r)
				return
			}
			first = false
			answer := httptest.NewRecorder()
			old.ServeHTTP(answer, r)
			<-release // it is on its way for a while
			_, _ = w.Write(answer.Body.Bytes())
		})}
		r := newRemote(t, w, nil)
		stop := start(t, r)
		defer stop()
		synctest.Wait()
		got := make(chan error, 1)
		go func() {
			_, err := r.Key(t.Context(), fresh.KeyID)
			got <- err
		}()
		synctest.Wait()
		close(release)
		if err := <-got; err != nil {
			t.Errorf("a key that the issuer has published: %v", err)
		}
	})
}

func TestStopDuringFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })}
		stop := start(t, newRemote(t, w, func(o *token.RemoteOptions) { o.FetchTimeout = time.Hour }))
		synctest.Wait()
		began := time.Now()
		stop()
		if waited := time.Since(began); waited != 0 {
			t.Errorf("Run took %v to stop", waited)
		}
	})
}
