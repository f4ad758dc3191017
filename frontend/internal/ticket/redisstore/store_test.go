package redisstore_test

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"torikumi/frontend/internal/ticket"
	"torikumi/frontend/internal/ticket/redisstore"
	"torikumi/frontend/internal/ticket/storetest"
	"torikumi/pkg/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var prefixes atomic.Int64

// prefix is one that no other test has.
func prefix() string { return fmt.Sprint("test", prefixes.Add(1)) }

// open makes a store that is stopped at the end of the test.
func open(t testing.TB, address, prefix, name string, l ticket.Limits) *redisstore.Store {
	client := redis.NewClient(&redis.Options{Addr: address})
	s := redisstore.Open(redisstore.Options{Client: client, Prefix: prefix, Name: name, Limits: l, Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() {
		s.Stop()
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	redistest.Each(t, func(t *testing.T, address string) {
		storetest.Run(t, func(t testing.TB, l ticket.Limits) ticket.Store { return open(t, address, prefix(), "a", l) })
	})
}

func TestShared(t *testing.T) {
	redistest.Each(t, func(t *testing.T, address string) {
		storetest.RunShared(t, func(t testing.TB, l ticket.Limits) (a, b ticket.Store) {
			p := prefix()
			return open(t, address, p, "a", l), open(t, address, p, "b", l)
		})
	})
}
