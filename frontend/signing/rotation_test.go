package signing_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"torikumi/frontend/signing"
	"torikumi/pkg/token"
)

// cache stands between gates and frontends and keeps answers for as long as they
// allow; frontends take turns.
type cache struct {
	mu      sync.Mutex
	next    int
	origins []http.Handler
	stored  *httptest.ResponseRecorder
	until   time.Time
}

func (c *cache) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stored == nil || time.Now().After(c.until) {
		c.next++
		c.stored = httptest.NewRecorder()
		c.origins[c.next%len(c.origins)].ServeHTTP(c.stored, httptest.NewRequest("GET", token.JWKSPath, nil))
		c.until = time.Now().Add(300 * time.Second)
	}
	for name, values := range c.stored.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(c.stored.Code)
	_, _ = w.Write(c.stored.Body.Bytes())
}

// direct takes requests straight to a handler, so that time can be the test's own.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w.Result(), nil
}

// after lets everybody act until d has passed.
func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// rotateUnderLoad runs two frontends and three gates, with a cache between them,
// for hours of the test's own time, rotates the keys again and again while tokens
// are minted and verified, and returns how many were verified and the refusals.
func rotateUnderLoad(t *testing.T, publishBefore time.Duration) (verified int64, refused []error) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()

		current, _ := generate(t, dir, time.Now())
		middle := &cache{}
		var minters []*signing.Minter
		for i := range 2 {
			keys := load(t, dir, signing.KeyOptions{Algorithm: token.ES256, PublishBefore: publishBefore})
			minters = append(minters, newMinter(t, keys, nil))
			middle.origins = append(middle.origins, signing.JWKSHandler(keys))
			// The second mount of the Secret is late by more than a minute.
			wg.Go(func() { _ = keys.Watch(ctx, time.Duration(30+60*i)*time.Second) })
		}
		var mu sync.Mutex
		var total atomic.Int64
		for i := range 3 {
			r, err := token.NewRemoteKeys(token.RemoteOptions{
				URL: "https://frontend.example" + token.JWKSPath, Algorithms: []token.Algorithm{token.ES256},
				HTTPClient: &http.Client{Transport: direct{middle}}, Logger: quiet,
			})
			if err != nil {
				t.Error(err)
				return
			}
			wg.Go(func() { _ = r.Run(ctx) })
			v := newVerifier(t, r, token.ES256, nil)
			wg.Go(func() {
				// Each token is used when it is new and when it is nearly spent.
				var late []string
				for n := 0; ; n++ {
					select {
					case <-ctx.Done():
						return
					case <-time.After(time.Duration(9+i) * time.Second):
					}
					raw, _, err := minters[n%2].Mint(request)
					if late = append(late, raw); err == nil {
						_, err = v.Verify(ctx, raw, want)
					}
					if len(late) > 9 && err == nil {
						_, err = v.Verify(ctx, late[0], want)
						late = late[1:]
					}
					total.Add(2)
					if err != nil {
						mu.Lock()
						refused = append(refused, fmt.Errorf("at %v: %w", time.Now(), err))
						mu.Unlock()
					}
				}
			})
		}
		for range 4 {
			after(17*time.Minute + 13*time.Second)
			next, _ := generate(t, dir, time.Now())
			after(40 * time.Minute)
			if err := os.Remove(current); err != nil {
				t.Error(err)
			}
			current = next
		}
		after(10 * time.Minute)
		verified = total.Load()
	})
	return verified, refused
}

func TestRotationUnderLoad(t *testing.T) {
	verified, refused := rotateUnderLoad(t, 0)
	if verified < 5000 {
		t.Errorf("only %d tokens verified", verified)
	}
	if len(refused) > 0 {
		t.Errorf("%d of %d refused, the first: %v", len(refused), verified, refused[0])
	}
}

// TestRotationWithoutPublishing shows that the test above would see
// a rotation that goes wrong.
func TestRotationWithoutPublishing(t *testing.T) {
	if _, refused := rotateUnderLoad(t, time.Nanosecond); len(refused) == 0 {
		t.Error("keys that sign before they are published refuse nobody: the load does not test rotation")
	}
}
