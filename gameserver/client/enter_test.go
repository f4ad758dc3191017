package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"torikumi/pkg/token"
)

// picky lets in whoever has one token, and refuses all others for a reason.
type picky struct {
	takes  string
	reason token.Reason
	asked  []string
	busy   int // refuses so many for a moment
}

func (s *picky) Join(_ context.Context, jwt string) (Welcome, error) {
	s.asked = append(s.asked, jwt)
	if s.busy > 0 {
		s.busy--
		return Welcome{}, &RefusedError{Reason: "busy", Retryable: true}
	}
	if jwt == s.takes {
		return Welcome{Player: "ann"}, nil
	}
	return Welcome{}, &RefusedError{Reason: s.reason}
}

// tokens makes t1, t2, …, for whoever has t0.
func tokens(fails error) func(context.Context) (string, error) {
	n := 0
	return func(context.Context) (string, error) {
		n++
		return fmt.Sprint("t", n), fails
	}
}

// A token that the server takes no more is exchanged for a new one, a
// few times, with pauses in which tokens grow younger; whatever else is wrong
// with it stays wrong.
func TestEnterRenewsToken(t *testing.T) {
	lost := errors.New("the frontend is gone")
	for name, c := range map[string]struct {
		server picky
		renew  func(context.Context) (string, error)
		asked  []string
		failed string
	}{
		"taken at once": {picky{takes: "t0"}, tokens(nil), []string{"t0"}, ""},
		"busy twice":    {picky{takes: "t0", busy: 2}, nil, []string{"t0", "t0", "t0"}, ""},
		"always busy":   {picky{takes: "t0", busy: 9}, tokens(nil), slices.Repeat([]string{"t0"}, 6), "busy"},
		"too old twice": {picky{takes: "t2", reason: token.ReasonIssuedBeforeStart}, tokens(nil), []string{"t0", "t1", "t2"}, ""},
		"always too old": {picky{reason: token.ReasonIssuedBeforeStart}, tokens(nil), []string{"t0", "t1", "t2", "t3", "t4", "t5"},
			string(token.ReasonIssuedBeforeStart)},
		"over":            {picky{takes: "t1", reason: token.ReasonExpired}, tokens(nil), []string{"t0", "t1"}, ""},
		"used":            {picky{takes: "t1", reason: token.ReasonReplayed}, tokens(nil), []string{"t0", "t1"}, ""},
		"used, no other":  {picky{takes: "t1", reason: token.ReasonReplayed}, nil, []string{"t0"}, string(token.ReasonReplayed)},
		"another reason":  {picky{takes: "t1", reason: token.ReasonWrongMatch}, tokens(nil), []string{"t0"}, string(token.ReasonWrongMatch)},
		"no other token":  {picky{takes: "t1", reason: token.ReasonIssuedBeforeStart}, nil, []string{"t0"}, string(token.ReasonIssuedBeforeStart)},
		"no frontend now": {picky{takes: "t1", reason: token.ReasonIssuedBeforeStart}, tokens(lost), []string{"t0"}, "a new token: the frontend is gone"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				welcome, err := Enter(t.Context(), &c.server, "t0", c.renew)
				if c.failed == "" && (err != nil || welcome.Player != "ann") || c.failed != "" && (err == nil || !strings.Contains(err.Error(), c.failed)) {
					t.Errorf("%+v, %v", welcome, err)
				}
				if !slices.Equal(c.server.asked, c.asked) {
					t.Errorf("asked with %v, want %v", c.server.asked, c.asked)
				}
				if waited, least := time.Since(start), tokenPause*time.Duration(len(c.asked)-1); waited < least {
					t.Errorf("waited %v, less than %v", waited, least)
				}
			})
		})
	}
	// All tries together take long enough for a token of the next second.
	if newTokens*tokenPause <= time.Second {
		t.Error("no token would be dated in another second")
	}
}

func TestEnterContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), tokenPause/2)
		defer cancel()
		s := &picky{reason: token.ReasonIssuedBeforeStart}
		if _, err := Enter(ctx, s, "t0", tokens(nil)); !errors.Is(err, context.DeadlineExceeded) || len(s.asked) != 1 {
			t.Errorf("%v after %v", err, s.asked)
		}
	})
}
