package redisstore_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"torikumi/frontend/internal/ticket"
	"torikumi/frontend/internal/ticket/redisstore"
	"torikumi/pkg/redistest"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// between calls f once, after Redis has answered a command of this name and before
// whoever sent it hears.
type between struct {
	name string
	f    atomic.Pointer[func()]
}

func (b *between) DialHook(next redis.DialHook) redis.DialHook { return next }

func (b *between) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		b.answered(cmds[0])
		return err
	}
}

func (b *between) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		b.answered(cmd)
		return err
	}
}

func (b *between) answered(cmd redis.Cmder) {
	if cmd.Name() != b.name { // others are sent beside the calls
		return
	}
	if f := b.f.Swap(nil); f != nil {
		(*f)()
	}
}

// TestKeptMatch: where a player plays is remembered for as long as the ticket is.
func TestKeptMatch(t *testing.T) {
	redistest.Each(t, func(t *testing.T, address string) {
		p := prefix()
		s := open(t, address, p, "a", limits)
		client := redis.NewClient(&redis.Options{Addr: address})
		defer client.Close()
		made, err := s.Create(t.Context(), ticket.Ticket{ID: "1", Queue: "q", Players: []*torikumiv1.Player{{Id: "alice"}, {Id: "bob"}, {Id: "carol"}}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Update(t.Context(), "1", ticket.Event{Kind: ticket.Attach, OpenMatchID: "om"}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Assign(t.Context(), "om", ticket.Assignment{Connection: "192.0.2.1:7777"}); err != nil {
			t.Fatal(err)
		}
		key := "{" + p + "}:played:"
		const soon = time.Minute // longer than all this takes
		client.PExpire(t.Context(), key+"alice", soon)
		client.Del(t.Context(), key+"carol")                // as after a long time without Redis
		client.Set(t.Context(), key+"bob", "another", soon) // who has got another match since
		if err := s.Keep(t.Context(), &made); err != nil {
			t.Fatal(err)
		}
		for _, player := range []string{"alice", "carol"} {
			if left := client.PTTL(t.Context(), key+player).Val(); left < limits.Assigned/2 || client.Get(t.Context(), key+player).Val() != "1" {
				t.Errorf("where %s plays is remembered for %v", player, left)
			}
		}
		if left := client.PTTL(t.Context(), key+"bob").Val(); left > soon {
			t.Errorf("where bob plays is remembered for %v", left)
		}
	})
}

// TestAssignedWhileListed: who is assigned in the moment in which they ask where they
// are is not told that they are nowhere.
func TestAssignedWhileListed(t *testing.T) {
	redistest.Each(t, func(t *testing.T, address string) {
		p := prefix()
		other := open(t, address, p, "b", limits)
		client := redis.NewClient(&redis.Options{Addr: address})
		defer client.Close()
		hook := &between{name: "hvals"}
		client.AddHook(hook)
		s := redisstore.Open(redisstore.Options{Client: client, Prefix: p, Name: "a", Limits: limits, Logger: slog.New(slog.DiscardHandler)})
		defer s.Stop()
		for _, id := range []string{"1", "2"} { // the second time there is one before
			if _, err := other.Create(t.Context(), draft(id, "alice")); err != nil {
				t.Fatal(err)
			}
			if _, err := other.Update(t.Context(), id, ticket.Event{Kind: ticket.Attach, OpenMatchID: "om-" + id}); err != nil {
				t.Fatal(err)
			}
			assign := func() {
				if c, err := other.Assign(t.Context(), "om-"+id, ticket.Assignment{Connection: "192.0.2.1:7777"}); err != nil || !c.Changed() {
					t.Errorf("assign: %+v, %v", c, err)
				}
			}
			hook.f.Store(&assign)
			found, err := s.Of(t.Context(), "alice")
			if err != nil || len(found) != 1 || found[0].ID != id || found[0].State != ticket.Assigned {
				t.Errorf("while %s is assigned: %+v, %v", id, found, err)
			}
		}
	})
}
