package admission

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"torikumi/gameserver/internal/harness"
	"torikumi/gameserver/internal/journal"
	"torikumi/gameserver/internal/watch"
	"torikumi/pkg/agones"
	"torikumi/pkg/token"
	"torikumi/pkg/token/tokentest"
)

// lagging is a server whose SDK does not know yet what has become of it.
type lagging struct {
	Server
	c    *Controller
	fail error // of all questions but the first

	mu    sync.Mutex
	shown watch.View // by the SDK
	asked int
}

func (l *lagging) show(v watch.View) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shown = v
}

func (l *lagging) ask() (watch.View, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	return l.shown, l.asked
}

func (l *lagging) Refresh(ctx context.Context) (watch.View, error) {
	if _, n := l.ask(); n > 1 && l.fail != nil {
		return watch.View{}, l.fail
	}
	select {
	case <-time.After(200 * time.Millisecond): // the pace of questions
	case <-ctx.Done():
		return watch.View{}, ctx.Err()
	}
	v, _ := l.ask()
	l.c.Observe(v)
	return v, nil
}

// tokenHarness is a controller that checks tokens, on the clock of a bubble.
type tokenHarness struct {
	t      *testing.T
	c      *Controller
	server *lagging
	issuer *tokentest.Issuer
	path   string
	memory *journal.Journal
}

func newTokenHarness(t *testing.T, path string) *tokenHarness {
	t.Helper()
	h := &tokenHarness{t: t, server: &lagging{}, issuer: tokentest.NewIssuer(tokentest.EC()), path: path}
	h.start()
	return h
}

func (h *tokenHarness) start() {
	h.t.Helper()
	var err error
	if h.memory, err = journal.Open(h.path, nil); err != nil {
		h.t.Fatal(err)
	}
	verifier, err := token.NewVerifier(token.VerifierOptions{Keys: h.issuer, Algorithm: token.ES256, Issuer: harness.IssuerName})
	if err != nil {
		h.t.Fatal(err)
	}
	h.c = New(Options{Verifier: verifier, Journal: h.memory, Server: h.server, Policy: policy, Logger: slog.New(slog.DiscardHandler)})
	h.server.c = h.c
}

func (h *tokenHarness) restart() {
	h.close()
	h.start()
	h.c.Observe(allocated(tokentest.Match))
}

func (h *tokenHarness) close() {
	if err := h.memory.Close(); err != nil {
		h.t.Error(err)
	}
}

func free() watch.View {
	return watch.View{Name: harness.Name, Namespace: harness.Namespace, UID: "u", State: agones.Ready}
}

func allocated(match string) watch.View {
	v := free()
	v.State, v.Match = agones.Allocated, match
	return v
}

func (h *tokenHarness) token() string { return h.issuer.Forge(time.Now()).Claims(nil) }

func reasonOf(t *testing.T, err error) token.Reason {
	t.Helper()
	var r *Refusal
	switch {
	case err == nil:
		return ""
	case !errors.As(err, &r):
		t.Fatal(err)
	}
	return r.Reason
}

// TestFasterThanTheView: the player is there before the gate has heard of the
// allocation. The server is seen at a time after the question.
func TestFasterThanTheView(t *testing.T) {
	before := allocated("m-before")
	for name, test := range map[string]struct {
		first, then watch.View
		after       time.Duration
		watched     bool // the watch tells; else the gate has to ask
		fail        error
		want        token.Reason
		took        time.Duration
	}{
		"told at once":              {free(), allocated(tokentest.Match), time.Millisecond, true, nil, "", time.Millisecond},
		"told in time":              {free(), allocated(tokentest.Match), 450 * time.Millisecond, true, nil, "", 450 * time.Millisecond},
		"found in time":             {free(), allocated(tokentest.Match), 250 * time.Millisecond, false, nil, "", 400 * time.Millisecond},
		"told too late":             {free(), allocated(tokentest.Match), 600 * time.Millisecond, true, nil, ReasonNotAllocated, 500 * time.Millisecond},
		"never":                     {free(), free(), 0, true, nil, ReasonNotAllocated, 500 * time.Millisecond},
		"told after another match":  {before, allocated(tokentest.Match), 450 * time.Millisecond, true, nil, "", 450 * time.Millisecond},
		"another match":             {before, before, 0, true, nil, token.ReasonWrongMatch, 500 * time.Millisecond},
		"told while questions fail": {free(), allocated(tokentest.Match), 450 * time.Millisecond, true, watch.ErrUnavailable, "", 450 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newTokenHarness(t, "")
				defer h.close()
				h.server.fail = test.fail
				h.server.show(test.first)
				h.c.Observe(free()) // so that no token can have been used before
				if test.first.Match != "" {
					h.c.Observe(test.first)
				}
				go func() {
					time.Sleep(test.after)
					h.server.show(test.then)
					if test.watched {
						h.c.Observe(test.then)
					}
				}()
				begin := time.Now()
				_, err := h.c.Admit(t.Context(), h.token(), "key")
				if got := reasonOf(t, err); got != test.want || time.Since(begin) != test.took {
					t.Errorf("%q after %v, want %q after %v", got, time.Since(begin), test.want, test.took)
				}
				synctest.Wait()
				time.Sleep(time.Second)
			})
		})
	}
}

// TestEndingServerIsNotWaitedFor: nothing good can come.
func TestEndingServerIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTokenHarness(t, "")
		defer h.close()
		v := free()
		v.State = agones.Shutdown
		h.server.show(v)
		h.c.Observe(v)
		begin := time.Now()
		_, err := h.c.Admit(t.Context(), h.token(), "")
		if got := reasonOf(t, err); got != ReasonNotAllocated || time.Since(begin) > 200*time.Millisecond {
			t.Errorf("%q after %v", got, time.Since(begin))
		}
	})
}

// TestRetriedAdmission: the same request has the same answer, whatever happens in
// between but the player's departure.
func TestRetriedAdmission(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	synctest.Test(t, func(t *testing.T) {
		h := newTokenHarness(t, path)
		defer func() { h.close() }()
		h.c.Observe(free())
		h.c.Observe(allocated(tokentest.Match))
		admit := func(raw, key string) (Admission, token.Reason) {
			a, err := h.c.Admit(t.Context(), raw, key)
			return a, reasonOf(t, err)
		}
		tok := h.token()
		first, reason := admit(tok, "1")
		if reason != "" || first.Reconnect {
			t.Fatalf("first: %+v %s", first, reason)
		}
		second := h.token()
		again, reason := admit(second, "2")
		if reason != "" || !again.Reconnect {
			t.Fatalf("reconnect: %+v %s", again, reason)
		}
		same := func(when string) {
			t.Helper()
			if a, reason := admit(second, "2"); a != again || reason != "" {
				t.Errorf("%s: %+v %s, want %+v", when, a, reason, again)
			}
			for _, key := range []string{"", "3", "1"} {
				if a, reason := admit(second, key); reason != token.ReasonReplayed && reason != token.ReasonExpired {
					t.Errorf("%s, key %q: %+v %q", when, key, a, reason)
				}
			}
		}
		same("at once")
		h.restart()
		same("after a new start of the gate")
		if _, reason := admit(tok, "1"); reason != token.ReasonReplayed {
			t.Errorf("the superseded stay: %q", reason)
		}
		time.Sleep(10 * time.Minute) // longer than any token lives
		same("with an expired token")
		h.restart()
		same("with an expired token, after a new start")

		if _, err := h.c.Report(t.Context(), tokentest.Match, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(policy.Presence)
		if r, err := h.c.Report(t.Context(), tokentest.Match, nil); err != nil || r.Lapsed != 1 {
			t.Fatalf("%+v, %v", r, err)
		}
		h.restart()
		same("after a lapse")
		if n := len(h.c.Snapshot().Present); n != 1 {
			t.Errorf("%d present", n)
		}
		if err := h.c.Depart(t.Context(), again.Player, again.ID); err != nil {
			t.Fatal(err)
		}
		if a, reason := admit(second, "2"); reason != token.ReasonExpired {
			t.Errorf("after the departure: %+v %q", a, reason)
		}
	})
}

// TestBannedRetry: the request that has let a player in does not do so again once they are
// banned, whether they were here or had lapsed, in this gate and in the next.
func TestBannedRetry(t *testing.T) {
	for _, lapsed := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "journal")
		synctest.Test(t, func(t *testing.T) {
			h := newTokenHarness(t, path)
			defer func() { h.close() }()
			h.c.Observe(free())
			h.c.Observe(allocated(tokentest.Match))
			raw := h.token()
			a, err := h.c.Admit(t.Context(), raw, "k")
			if err != nil {
				t.Fatal(err)
			}
			if lapsed {
				for range 2 {
					if _, err := h.c.Report(t.Context(), tokentest.Match, nil); err != nil {
						t.Fatal(err)
					}
					time.Sleep(policy.Presence)
				}
			}
			if err := h.c.Ban(t.Context(), a.Player); err != nil {
				t.Fatal(err)
			}
			for _, when := range []string{"at once", "after a new start"} {
				again, err := h.c.Admit(t.Context(), raw, "k")
				if got := reasonOf(t, err); got != ReasonBanned && got != token.ReasonExpired {
					t.Errorf("lapsed %v, %s: %+v, %q", lapsed, when, again, got)
				}
				if s := h.c.Snapshot(); len(s.Present) != 0 || len(s.Departed) != 1 || s.Departed[0].Lapsed || len(s.Banned) != 1 {
					t.Errorf("lapsed %v, %s: %+v", lapsed, when, s)
				}
				h.restart()
			}
		})
	}
}

// TestLapsedDeparture: once the departure of a player who had lapsed is reported, as the game
// server has kicked them, neither the request that had let them in brings them back, nor a
// report, in this gate and in the next.
func TestLapsedDeparture(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	synctest.Test(t, func(t *testing.T) {
		h := newTokenHarness(t, path)
		defer func() { h.close() }()
		h.c.Observe(free())
		h.c.Observe(allocated(tokentest.Match))
		raw := h.token()
		a, err := h.c.Admit(t.Context(), raw, "k")
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := h.c.Report(t.Context(), tokentest.Match, nil); err != nil {
				t.Fatal(err)
			}
			time.Sleep(policy.Presence)
		}
		if s := h.c.Snapshot(); len(s.Departed) != 1 || !s.Departed[0].Lapsed {
			t.Fatalf("not lapsed: %+v", s)
		}
		if err := h.c.Depart(t.Context(), a.Player, "another"); err != nil || !h.c.Snapshot().Departed[0].Lapsed {
			t.Errorf("the departure of another stay: %v", err)
		}
		if err := h.c.Depart(t.Context(), a.Player, a.ID); err != nil {
			t.Fatal(err)
		}
		if err := h.c.Depart(t.Context(), a.Player, a.ID); !errors.Is(err, ErrNotPresent) {
			t.Errorf("the same again: %v", err)
		}
		for _, when := range []string{"at once", "after a new start"} {
			again, err := h.c.Admit(t.Context(), raw, "k")
			if got := reasonOf(t, err); got != token.ReasonReplayed && got != token.ReasonExpired {
				t.Errorf("%s: %+v, %q", when, again, got)
			}
			r, err := h.c.Report(t.Context(), tokentest.Match, []Stay{{Player: a.Player, Admission: a.ID}})
			if err != nil || len(r.Refused) != 1 || r.Refused[0].Reason != ReasonDeparted {
				t.Errorf("%s: reported: %+v, %v", when, r, err)
			}
			if s := h.c.Snapshot(); len(s.Present) != 0 || len(s.Departed) != 1 || s.Departed[0].Lapsed {
				t.Errorf("%s: %+v", when, s)
			}
			h.restart()
		}
	})
}
