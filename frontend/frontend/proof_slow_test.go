//go:build proof && linux

package frontend_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestProofSlowClients: 5,000 connections whose headers come byte by byte, and 2,000 whose
// bodies never come, are opened again whenever the frontend ends them, and cost honest
// players next to nothing. The stop does not wait for them.
func TestProofSlowClients(t *testing.T) {
	const slow, silent, rate, lasts = 5000, 2000, 200, 20 * time.Second
	s := prepare(t, nil)
	one := spawn(t, s.cfg)
	s.url = one.url
	const workers = 32
	conns := lines(t, one.addr, workers)
	var requests [workers]string
	for i := range requests {
		player := fmt.Sprint("p", i)
		made := s.create(player)
		requests[i] = request("GET", "/v1/tickets/"+made.ID, s.token(player), "")
	}
	honest := func() *latencies {
		var took latencies
		paced(int(rate*lasts.Seconds()), rate, workers, func(worker, _ int, due time.Time) {
			code, body, err := conns[worker].ask(requests[worker])
			if err != nil || code != http.StatusOK {
				t.Errorf("an honest player: %d %s %v", code, body, err)
			}
			took.add(time.Since(due))
		})
		return &took
	}
	honest() // until all is warm
	before := honest()
	t.Logf("honest players alone:     %v", before)
	ctx, stop := context.WithCancel(t.Context())
	var attack sync.WaitGroup
	var open, opened atomic.Int64
	raw := s.token("mallory")
	dial := func(what string, drip bool) {
		for ctx.Err() == nil {
			conn, err := net.Dial("tcp", one.addr)
			if err != nil {
				_ = pause(ctx, time.Second)
				continue
			}
			open.Add(1)
			opened.Add(1)
			end := context.AfterFunc(ctx, func() { conn.Close() })
			_, err = io.WriteString(conn, what)
			if drip {
				go func() {
					for err := error(nil); err == nil; _, err = io.WriteString(conn, "x") {
						if pause(ctx, 3*time.Second) != nil {
							return
						}
					}
				}()
			}
			if err == nil {
				_, _ = io.Copy(io.Discard, conn) // until the frontend ends it
			}
			end()
			conn.Close()
			open.Add(-1)
		}
	}
	for i := range slow {
		attack.Go(func() {
			_ = pause(ctx, time.Duration(i)*time.Millisecond)
			dial("GET /v1/tickets HTTP/1.1\r\nHost: frontend\r\nX-Slow: ", true)
		})
	}
	for i := range silent {
		attack.Go(func() {
			_ = pause(ctx, time.Duration(i)*2*time.Millisecond)
			dial([]string{
				"GET /.well-known/jwks.json HTTP/1.1\r\nHost: frontend\r\nContent-Length: 1\r\n\r\n",
				"POST /v1/tickets HTTP/1.1\r\nHost: frontend\r\nAuthorization: Bearer " + raw + "\r\nContent-Length: 100\r\n\r\n{",
			}[i%2], false)
		})
	}
	for open.Load() < (slow+silent)*9/10 {
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	during := honest()
	t.Logf("%d hostile connections, opened %d times; %d MB resident", open.Load(), opened.Load(), resident(t, one.pid())/1e6)
	t.Logf("honest players besides:   %v", during)
	target(t, during.at(0.99) < 2*before.at(0.99), "p99 %v, less than twice %v", during.at(0.99), before.at(0.99))
	took := one.stop()
	target(t, took < 2*time.Second, "the stop takes %v, less than 2 s", took)
	stop()
	attack.Wait()
}
