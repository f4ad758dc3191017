package admission

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"torikumi/gameserver/internal/harness"
	"torikumi/gameserver/internal/journal"
	"torikumi/gameserver/internal/watch"
	"torikumi/pkg/agones"
	"torikumi/pkg/token"
	"torikumi/pkg/token/tokentest"
)

// still is a server that does not change.
type still struct{ Server }

func (still) Refresh(context.Context) (watch.View, error) { return watch.View{}, nil }

// TestAdmitRace: of many tries with one token, each under a key of its own, exactly one
// is admitted.
func TestAdmitRace(t *testing.T) {
	for _, path := range []string{"", filepath.Join(t.TempDir(), "journal")} {
		memory, err := journal.Open(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		issuer := tokentest.NewIssuer(tokentest.EC())
		verifier, err := token.NewVerifier(token.VerifierOptions{Keys: issuer, Algorithm: token.ES256, Issuer: harness.IssuerName})
		if err != nil {
			t.Fatal(err)
		}
		c := New(Options{Verifier: verifier, Journal: memory, Server: still{}, Policy: policy, Logger: slog.New(slog.DiscardHandler)})
		server := watch.View{Name: harness.Name, Namespace: harness.Namespace, State: agones.Ready}
		c.Observe(server)
		server.State, server.Match = agones.Allocated, tokentest.Match
		c.Observe(server)
		const tokens, tries = 8, 100
		var wins [tokens]atomic.Int64
		var wg sync.WaitGroup
		for n := range tokens {
			raw := issuer.Forge(time.Now()).Claims(nil)
			for try := range tries {
				wg.Go(func() {
					_, err := c.Admit(t.Context(), raw, strconv.Itoa(try))
					var refusal *Refusal
					switch {
					case err == nil:
						wins[n].Add(1)
					case !errors.As(err, &refusal) || refusal.Reason != token.ReasonReplayed:
						t.Error(err)
					}
				})
			}
		}
		wg.Wait()
		for n := range wins {
			if got := wins[n].Load(); got != 1 {
				t.Errorf("%q: token %d admitted %d times", path, n, got)
			}
		}
		if err := memory.Close(); err != nil {
			t.Error(err)
		}
	}
}
