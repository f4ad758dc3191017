package simulation_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"torikumi/pkg/claims"
	"torikumi/pkg/redistest"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// TestClaimsModel: the claims of the simulation are those of pkg/claims.
func TestClaimsModel(t *testing.T) {
	redistest.Each(t, func(t *testing.T, address string) {
		client := goredis.NewClient(&goredis.Options{Addr: address})
		t.Cleanup(func() { _ = client.Close() })
		run := 0
		rapid.Check(t, func(rt *rapid.T) {
			run++
			store, model := claims.New(client, fmt.Sprint("run-", run)), newRedis()
			for range 20 {
				token, a, b := draw(rt, 1, 4, "token"), draw(rt, 1, 4, "ticket"), draw(rt, 1, 4, "ticket")
				tickets := []int{a, b}[:1+min(1, max(a-b, b-a))]
				step := draw(rt, 0, 8, "step")
				hold := 3600 * draw(rt, 0, 1, "hold")
				want := stepModel(model, step, token, tickets, hold)
				if got := stepStore(t, store, step, token, tickets, hold); got != want {
					rt.Fatalf("step %d: Redis says %q, the model %q", step, got, want)
				}
			}
		})
	})
}

// Time stands still in the model: what is held for an hour is held, and what is held
// for no time is not.
func stepModel(r *redis, step, token int, tickets []int, hold int) string {
	switch step {
	case 0:
		answer, taken, wait := r.acquire(token, tickets, hold, 0)
		return fmt.Sprintf("%s%v%d", answer, taken, min(wait, 1))
	case 1:
		if answer := r.set(token, "confirmed", fmt.Sprint("m", token), token); answer == "revoked" || answer == "" {
			return answer
		}
		return "confirmed" // the store does not say that it was assigned before
	case 2:
		return r.set(token, "assigned", "", 0)
	case 3:
		return r.set(token, "revoked", "", 0)
	case 4:
		r.drop(token, tickets)
		return ""
	case 5, 6:
		return fmt.Sprint(r.retire(tickets[0], step == 6, 0))
	case 7:
		return r.set(token, "abandoned", "", 0)
	}
	verdict, to := r.check(tickets[0], fmt.Sprint("m", token), token, 0)
	if to != nil {
		verdict += fmt.Sprint(to.server)
	}
	return verdict
}

func stepStore(t *testing.T, s *claims.Store, step, token int, tickets []int, hold int) string {
	t.Helper()
	ctx, name := t.Context(), fmt.Sprint(token)
	var names []string
	for _, ticket := range tickets {
		names = append(names, fmt.Sprint(ticket))
	}
	var err error
	want := ""
	switch step {
	case 0:
		err = s.Acquire(ctx, claims.Match{Token: name, Tickets: names, Hold: time.Duration(hold) * time.Second, Keep: 2 * time.Hour})
		var taken *claims.TakenError
		switch {
		case errors.As(err, &taken):
			wait := 1
			if taken.Wait < 0 {
				wait = -1
			}
			return fmt.Sprintf("taken[%s]%d", strings.Join(taken.Tickets, " "), wait)
		case errors.Is(err, claims.ErrRevoked):
			return "revoked[]0"
		}
		want = "claimed[]0"
	case 1:
		want = "confirmed"
		err = s.Confirm(ctx, name, "at "+name, &torikumiv1.AssignmentDetails{MatchId: "m" + name, GameServer: name})
	case 2:
		err, want = s.MarkAssigned(ctx, name), "assigned"
	case 3:
		err, want = s.Revoke(ctx, name), "revoked"
	case 4:
		err = s.Drop(ctx, name, names)
	case 5, 6:
		retired, err := s.Retire(ctx, names[0], step == 6, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(retired)
	case 7:
		if err, want = s.Abandon(ctx, name), "revoked"; errors.Is(err, claims.ErrAssigned) {
			return "assigned"
		}
	default:
		verdicts, err := s.Check(ctx, "m"+name, name, names[:1])
		if err != nil {
			t.Fatal(err)
		}
		v := verdicts[0]
		return []string{"unclaimed", "deliver", "wait", "revoked"}[v.Action] + v.Details.GetGameServer()
	}
	switch {
	case errors.Is(err, claims.ErrGone):
		return ""
	case errors.Is(err, claims.ErrRevoked):
		return "revoked"
	case err != nil:
		t.Fatal(err)
	}
	return want
}
