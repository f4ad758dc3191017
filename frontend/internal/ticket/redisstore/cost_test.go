package redisstore_test

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"torikumi/frontend/internal/ticket"
	"torikumi/pkg/redistest"
)

// BenchmarkWaiting is what a waiting ticket of one player takes of Redis's memory.
func BenchmarkWaiting(b *testing.B) {
	server := redistest.Start(b)
	l := limits
	l.Gone = time.Minute
	s := open(b, server.Address, prefix(), "a", l)
	client := redis.NewClient(&redis.Options{Addr: server.Address})
	defer client.Close()
	used := func() int {
		info, err := client.Info(b.Context(), "memory").Result()
		if err != nil {
			b.Fatal(err)
		}
		m := regexp.MustCompile(`used_memory:(\d+)`).FindStringSubmatch(info)
		n, err := strconv.Atoi(m[1])
		if err != nil {
			b.Fatal(err)
		}
		return n
	}
	before, n := used(), 0
	for b.Loop() {
		id := fmt.Sprintf("%026d", n)
		if _, err := s.Create(b.Context(), draft(id, "player-"+id)); err != nil {
			b.Fatal(err)
		}
		if _, err := s.Update(b.Context(), id, ticket.Event{Kind: ticket.Attach, OpenMatchID: "cq-" + id}); err != nil {
			b.Fatal(err)
		}
		n++
	}
	b.ReportMetric(float64(used()-before)/float64(n), "B/ticket")
}
