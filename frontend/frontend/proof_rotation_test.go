//go:build proof && linux

package frontend_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"torikumi/frontend/frontend"
	"torikumi/frontend/signing"
	"torikumi/pkg/eventually"
	"torikumi/pkg/redistest"
	"torikumi/pkg/token"
)

// faster is how much faster time is than with the defaults: a rotation each 5 s for one each
// half hour.
const faster = 360

// TestProofRotation: the keys of the join tokens are rotated each 5 s, and the times of
// publication and of all caches are as much shorter than the defaults; 200 joins a second at
// three frontends and three gates for a minute, with tokens that are new and with tokens
// that are nearly spent. Nobody is refused.
func TestProofRotation(t *testing.T) {
	const rotations, rate, players = 5 * time.Second, 200, 400
	redis := redistest.Start(t)
	s := prepare(t, func(c *frontend.Config) {
		c.Redis = "redis://" + redis.Address
		c.KeysReload, c.KeysPublishBefore = 30*time.Second/faster, 15*time.Minute/faster
		c.JoinTokenLifetime = 2 * time.Second // 12 minutes, as time goes here
	})
	var origins []*child
	for range 3 {
		origins = append(origins, spawn(t, s.cfg))
	}
	s.url = origins[0].url
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	var work sync.WaitGroup
	defer work.Wait()
	defer stop() // first, as they work until then
	var rotated atomic.Int64
	work.Go(func() { rotated.Store(rotate(ctx, t, s.cfg.KeysDir, rotations)) })

	// A cache between gates and frontends keeps each answer for as long as it may.
	stored := &storedKeys{origins: origins}
	cache := httptest.NewServer(stored)
	defer cache.Close()
	var gates []*token.Verifier
	for range 3 {
		keys, err := token.NewRemoteKeys(token.RemoteOptions{
			URL: cache.URL + token.JWKSPath, Algorithms: []token.Algorithm{token.ES256}, Logger: slog.New(slog.DiscardHandler),
			RefreshEvery: token.DefaultRefresh / faster, AskAgain: token.UnknownKeyInterval / faster,
		})
		if err != nil {
			t.Fatal(err)
		}
		work.Go(func() { _ = keys.Run(ctx) })
		gate, err := token.NewVerifier(token.VerifierOptions{Keys: keys, Algorithm: token.ES256, Issuer: frontendURL})
		if err != nil {
			t.Fatal(err)
		}
		gates = append(gates, gate)
	}
	var asks [players][]string
	for i := range players {
		player := fmt.Sprint("p", i)
		made := s.create(player)
		s.director.announce(announcement(nil, s.om.one(t, made.ID).GetId()))
		eventually.True(t, player+" is assigned", func() bool { return s.get(player, made.ID).State == "ASSIGNED" })
		asks[i] = []string{request("POST", "/v1/tickets/"+made.ID+"/join-token", s.token(player), "")}
	}
	want := token.Expectation{Audience: token.Audience("games", "arena-1"), MatchID: "m-1"}
	var joins, late atomic.Int64
	keys := make(map[string]bool)
	var mu sync.Mutex
	refuse := func(what string, err error) {
		t.Errorf("%s: %v", what, err)
	}
	const workers = 24
	conns := make([][]*line, 3)
	for i, c := range origins {
		conns[i] = lines(t, c.addr, workers)
	}
	paced(rate*60, rate, workers, func(worker, i int, _ time.Time) {
		code, body, err := conns[i%3][worker].ask(asks[i%players][0])
		var made struct{ JWT string }
		if err == nil {
			err = json.Unmarshal([]byte(body), &made)
		}
		if err != nil || code != http.StatusOK {
			t.Errorf("join token: %d %s %v", code, body, err)
			return
		}
		mu.Lock()
		keys[strings.Split(made.JWT, ".")[0]] = true
		mu.Unlock()
		if _, err := gates[i/3%3].Verify(ctx, made.JWT, want); err != nil && ctx.Err() == nil {
			refuse("a new token", err)
		}
		joins.Add(1)
		work.Go(func() {
			if pause(ctx, 900*time.Millisecond) != nil {
				return
			}
			if _, err := gates[(i+1)%3].Verify(ctx, made.JWT, want); err != nil && ctx.Err() == nil {
				refuse("a token that is nearly spent", err)
			}
			late.Add(1)
		})
	})
	stop()
	work.Wait()
	t.Logf("%d joins with new tokens, %d with old ones; keys were rotated %d times, %d have signed", joins.Load(), late.Load(), rotated.Load(), len(keys))
	target(t, !t.Failed(), "nobody is refused")
	target(t, rotated.Load() >= 10 && len(keys) >= 9, "the keys were rotated")
}

// rotate makes a key each time, and removes the one before the last.
func rotate(ctx context.Context, t *testing.T, dir string, every time.Duration) (n int64) {
	for files := []string(nil); pause(ctx, every) == nil; n++ {
		if len(files) > 1 {
			if err := os.Remove(files[0]); err != nil {
				t.Error(err)
			}
			files = files[1:]
		}
		made, err := signing.GenerateKey(dir, token.ES256, time.Now())
		if err != nil {
			t.Error(err)
			return n
		}
		files = append(files, made)
	}
	return n
}

// storedKeys is a cache of the key set; frontends take turns.
type storedKeys struct {
	origins []*child
	mu      sync.Mutex
	next    int
	header  http.Header
	body    []byte
	until   time.Time
}

func (c *storedKeys) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Now().After(c.until) {
		c.next++
		resp, err := http.Get(c.origins[c.next%len(c.origins)].url + token.JWKSPath)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		c.header = resp.Header
		c.body, _ = io.ReadAll(resp.Body) // gates see what is missing
		c.until = time.Now().Add(300 * time.Second / faster)
	}
	w.Header().Set("Content-Type", c.header.Get("Content-Type"))
	_, _ = w.Write(c.body) // a gate that has gone needs none
}
