package api

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	torikumiv1 "torikumi/proto/torikumi/v1"
)

// TestJoinTokensToldAgain: who asks where they play gets a new join token, up to a limit, and above
// it the last one, as long as half of its life is left. Nobody gets another's.
func TestJoinTokensToldAgain(t *testing.T) {
	for life, moment := range map[time.Duration]time.Duration{2 * time.Minute: MintInterval, time.Second: time.Second / 2} {
		t.Run(life.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j, made := newJoinTokens(), 0
				mint := func() (*torikumiv1.JoinToken, string) {
					made++
					return &torikumiv1.JoinToken{Jwt: fmt.Sprint(made), ExpireTime: timestamppb.New(time.Now().Add(life))}, ""
				}
				none := func(id, player string) {
					t.Helper()
					if got, reason := j.get(id, player, mint); got != nil || reason != tooManyTokens {
						t.Errorf("%s's for ticket %s: %v, %q", player, id, got, reason)
					}
				}
				is := func(id, player, want string) {
					t.Helper()
					if got, reason := j.get(id, player, mint); got.GetJwt() != want || reason != "" {
						t.Errorf("%s's for ticket %s: %q, %q; want %q", player, id, got.GetJwt(), reason, want)
					}
				}
				for n := 1; n <= MintBurst; n++ {
					is("1", "alice", fmt.Sprint(n))
				}
				is("1", "bob", fmt.Sprint(MintBurst+1))
				is("1", "alice", fmt.Sprint(MintBurst))
				time.Sleep(moment / 2)
				is("1", "alice", fmt.Sprint(MintBurst))
				is("1", "bob", fmt.Sprint(MintBurst+2))
				time.Sleep(moment / 2)
				if moment < MintInterval {
					none("1", "alice")
					time.Sleep(MintInterval - moment)
				}
				is("1", "alice", fmt.Sprint(MintBurst+3))
			})
		})
	}
}

// TestJoinTokensAtOnce: two who ask at the same moment, as a player's two tabs, get a token each, as
// one of them would be refused with the other's.
func TestJoinTokensAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, made := newJoinTokens(), new(atomic.Int32)
		mint := func() (*torikumiv1.JoinToken, string) {
			n := made.Add(1)
			time.Sleep(time.Millisecond)
			return &torikumiv1.JoinToken{Jwt: fmt.Sprint(n), ExpireTime: timestamppb.New(time.Now().Add(time.Minute))}, ""
		}
		var asking sync.WaitGroup
		var tokens sync.Map
		for range MintBurst {
			asking.Go(func() {
				got, reason := j.get("1", "alice", mint)
				if _, again := tokens.LoadOrStore(got.GetJwt(), true); again || got.GetJwt() == "" {
					t.Errorf("%q again, or none: %q", got.GetJwt(), reason)
				}
			})
		}
		asking.Wait()
	})
}

// TestNoJoinToken: who is told why there is no join token is not told that again.
func TestNoJoinToken(t *testing.T) {
	j := newJoinTokens()
	if got, reason := j.get("1", "alice", func() (*torikumiv1.JoinToken, string) { return nil, "broken" }); got != nil || reason != "broken" {
		t.Errorf("got %v, %q", got, reason)
	}
	got, reason := j.get("1", "alice", func() (*torikumiv1.JoinToken, string) {
		return &torikumiv1.JoinToken{Jwt: "1", ExpireTime: timestamppb.New(time.Now().Add(time.Minute))}, ""
	})
	if got.GetJwt() != "1" || reason != "" {
		t.Errorf("then %v, %q", got, reason)
	}
}
