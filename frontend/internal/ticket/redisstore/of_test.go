package redisstore_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/redis/go-redis/v9"

	"torikumi/frontend/internal/ticket"
	"torikumi/frontend/internal/ticket/redisstore"
	"torikumi/pkg/redistest"
)

// between calls f once, after Redis has answered a command of this name and before
// whoever sent it hears.
type between struct {
	name string
	f    func()
}

func (b *between) DialHook(next redis.DialHook) redis.DialHook { return next }

func (b *between) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (b *between) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if cmd.Name() != b.name { // which the store sends beside the calls
			return err
		}
		if f := b.f; f != nil {
			b.f = nil
			f()
		}
		return err
	}
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
			hook.f = func() {
				if c, err := other.Assign(t.Context(), "om-"+id, ticket.Assignment{Connection: "192.0.2.1:7777"}); err != nil || !c.Changed() {
					t.Errorf("assign: %+v, %v", c, err)
				}
			}
			found, err := s.Of(t.Context(), "alice")
			if err != nil || len(found) != 1 || found[0].ID != id || found[0].State != ticket.Assigned {
				t.Errorf("while %s is assigned: %+v, %v", id, found, err)
			}
		}
	})
}
