//go:build proof && linux

package frontend_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"torikumi/frontend/signing"
	"torikumi/pkg/token"
)

// TestProofWaiting: 10,000 players wait by server-sent events at one frontend, take little of
// its memory and of its CPU, and are told of their matches at once: 250 matches of two a
// second, each with a join token signed by RS256 (1.4 ms of CPU), and all at the same
// moment, signed by ES256.
func TestProofWaiting(t *testing.T) {
	for _, c := range []struct {
		algorithm token.Algorithm
		rate      float64 // of matches a second; zero: all at once
		within    time.Duration
	}{{token.RS256, 250, time.Second}, {token.ES256, 0, time.Second}} {
		t.Run(string(c.algorithm), func(t *testing.T) {
			const n = 10_000
			s := prepare(t, func(cfg *settings) {
				cfg.Algorithm = string(c.algorithm)
				cfg.KeysDir = t.TempDir()
				if _, err := signing.GenerateKey(cfg.KeysDir, c.algorithm, time.Now().Add(-time.Hour)); err != nil {
					t.Fatal(err)
				}
			})
			one := spawn(t, s.cfg)
			s.url = one.url
			waiting := follow(t, s, one, n)
			const quiet = 30 * time.Second // two heartbeats
			before := cpu(t, one.pid())
			time.Sleep(quiet)
			idle := 100 * (cpu(t, one.pid()) - before).Seconds() / quiet.Seconds()
			target(t, resident(t, one.pid()) < 400e6, "%d MB resident for %d players, less than 400", resident(t, one.pid())/1e6, n)
			target(t, idle < 10, "%.1f%% of one CPU while nothing happens: their heartbeats, and the reading of their tickets", idle)
			told := waiting.match(c.rate)
			t.Logf("match announced to player told: %v", told)
			target(t, told.at(1) < c.within, "all are told within %v: the last after %v", c.within, told.at(1))
			t.Logf("%d MB resident at the end", resident(t, one.pid())/1e6)
		})
	}
}

// crowd are players who wait.
type crowd struct {
	t    *testing.T
	s    *harness
	om   []string // their tickets in Open Match
	told []chan time.Time
}

// follow has n players follow a ticket each.
func follow(t *testing.T, s *harness, one *child, n int) *crowd {
	t.Helper()
	c := &crowd{t: t, s: s, om: make([]string, n), told: make([]chan time.Time, n)}
	var work sync.WaitGroup
	for worker := range 8 {
		work.Go(func() {
			posts := &line{addr: one.addr}
			defer posts.close()
			for i := worker; i < n; i += 8 {
				raw := s.token(fmt.Sprint("p", i))
				_, body, err := posts.ask(request("POST", "/v1/tickets", raw, alone))
				made := reply{200, nil, body}.ticket(t)
				if err != nil {
					t.Error(err)
					return
				}
				c.om[i], c.told[i] = made.ID, make(chan time.Time, 1)
				conn, err := net.Dial("tcp", one.addr)
				if err != nil {
					t.Error(err)
					return
				}
				t.Cleanup(func() { conn.Close() })
				if _, err := io.WriteString(conn, request("GET", "/v1/tickets/"+made.ID+"/events", raw, "")); err != nil {
					t.Error(err)
					return
				}
				read := bufio.NewReaderSize(conn, 512)
				if err := readUntil(read, "SEARCHING"); err != nil {
					t.Error(err)
					return
				}
				go func() {
					if readUntil(read, "ASSIGNED") == nil {
						c.told[i] <- time.Now()
					}
				}()
			}
		})
	}
	work.Wait()
	if t.Failed() {
		t.FailNow()
	}
	ids := make(map[string]string, n)
	s.om.mu.Lock()
	for id, x := range s.om.tickets {
		ids[frontendID(x)] = id
	}
	s.om.mu.Unlock()
	for i, id := range c.om {
		c.om[i] = ids[id]
	}
	return c
}

// readUntil reads lines until one has a text.
func readUntil(from *bufio.Reader, text string) error {
	for {
		got, err := from.ReadString('\n')
		if err != nil {
			return err
		}
		if strings.Contains(got, text) {
			return nil
		}
	}
}

// match announces matches of two, and returns after which time players were told.
func (c *crowd) match(rate float64) *latencies {
	c.t.Helper()
	var took latencies
	var work sync.WaitGroup
	begin := time.Now()
	for i := 0; i < len(c.om); i += 2 {
		if rate > 0 {
			time.Sleep(time.Until(begin.Add(time.Duration(float64(i/2) / rate * float64(time.Second)))))
		}
		a := announcement(nil, c.om[i], c.om[i+1])
		a.Details.MatchId = fmt.Sprint("m-", i)
		at := time.Now()
		c.s.director.announce(a)
		for _, told := range c.told[i : i+2] {
			work.Go(func() {
				select {
				case heard := <-told:
					took.add(heard.Sub(at))
				case <-time.After(time.Minute):
					c.t.Error("a player is not told")
				}
			})
		}
	}
	work.Wait()
	return &took
}
