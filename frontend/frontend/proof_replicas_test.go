//go:build proof && linux

package frontend_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"torikumi/frontend/frontend"
	"torikumi/pkg/porttest"
	"torikumi/pkg/redistest"
	"torikumi/proto/openmatch"
)

// seen is what a player knows of one ticket.
type seen struct {
	player, id string
	// began is when the ticket stood at the latest, ending when at the earliest its end
	// began: its match was announced, or its player cancelled. told is when they knew.
	began, ending, told time.Time
	state, match        string
}

// history is what all players have seen.
type history struct {
	mu         sync.Mutex
	tickets    []*seen
	violations []string
	// announced is when the match of an Open Match ticket was, by the ticket that it
	// stands for.
	announced map[string]time.Time
	// requests that were sent, connections that broke, and answers that say to come again.
	requests, broken, away atomic.Int64
	told                   latencies
}

func (h *history) violated(what string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.violations = append(h.violations, fmt.Sprintf(what, args...))
}

// check is the model: a player has one ticket at a time, so that the times in which two of
// theirs surely stood do not overlap, and each ended once, as a match of its own or cancelled
// by its player. Two players at most are in a match.
func (h *history) check() {
	byPlayer := make(map[string][]*seen)
	matches := make(map[string]map[string]bool)
	for _, s := range h.tickets {
		byPlayer[s.player] = append(byPlayer[s.player], s)
		switch s.state {
		case "ASSIGNED":
			if matches[s.match] == nil {
				matches[s.match] = make(map[string]bool)
			}
			if matches[s.match][s.player] {
				h.violations = append(h.violations, fmt.Sprintf("%s is twice in match %s", s.player, s.match))
			}
			matches[s.match][s.player] = true
		case "CANCELLED":
		default:
			h.violations = append(h.violations, fmt.Sprintf("ticket %s of %s ended as %q", s.id, s.player, s.state))
		}
	}
	for match, players := range matches {
		if len(players) > 2 {
			h.violations = append(h.violations, fmt.Sprintf("match %s has %d players", match, len(players)))
		}
	}
	for player, all := range byPlayer {
		slices.SortFunc(all, func(a, b *seen) int { return a.began.Compare(b.began) })
		for i := 1; i < len(all); i++ {
			if a, b := all[i-1], all[i]; a.id != b.id && b.began.Before(a.ending) {
				h.violations = append(h.violations, fmt.Sprintf("%s had tickets %s and %s at the same time", player, a.id, b.id))
			}
		}
	}
}

// replicasProof is three frontends on one Redis, with those who play.
type replicasProof struct {
	*history
	t         *testing.T
	s         *harness
	urls      []string
	http      *http.Client
	frontends []*child
	// settling says that nobody comes any more.
	settling atomic.Bool
}

// TestProofReplicas: 300 requests a second at three frontends on a Redis, for two minutes in
// which they are killed in turn and Redis is killed twice. No ticket that was confirmed is
// lost, everybody who waits is told, and nobody has two tickets.
func TestProofReplicas(t *testing.T) {
	const lasts, players, cycles = 2 * time.Minute, 2000, 110 // a second
	redis := redistest.Start(t)
	s := prepare(t, func(c *frontend.Config) { c.Redis = "redis://" + redis.Address })
	p := &replicasProof{
		history: &history{announced: make(map[string]time.Time)}, t: t, s: s,
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 512}},
	}
	t.Cleanup(p.http.CloseIdleConnections)
	for range 3 {
		cfg := s.cfg
		cfg.HTTPListen = porttest.Hold(t).String()
		p.frontends = append(p.frontends, spawn(t, cfg))
		p.urls = append(p.urls, "http://"+cfg.HTTPListen)
	}
	ctx, stop := context.WithCancel(t.Context())
	var work, playing sync.WaitGroup
	defer work.Wait()
	defer stop() // first, as they work until then
	work.Go(func() { p.match(ctx) })
	faults, end := context.WithTimeout(ctx, lasts)
	defer end()
	work.Go(func() { p.killInTurn(faults) })
	work.Go(func() {
		for range 2 {
			if pause(faults, lasts/3) != nil {
				return
			}
			redis.Kill()
			_ = pause(ctx, 2*time.Second)
			redis.Run()
		}
	})
	free := make(chan string, players)
	tokens := make(map[string]string, players)
	for i := range players {
		player := fmt.Sprint("p", i)
		tokens[player] = s.token(player)
		free <- player
	}
	waits, begin := 0, time.Now()
	for i := 0; faults.Err() == nil; i++ {
		_ = pause(faults, time.Until(begin.Add(time.Duration(i)*time.Second/cycles)))
		select {
		case player := <-free:
			playing.Go(func() { p.play(ctx, player, tokens[player]); free <- player })
		default:
			waits++
		}
	}
	p.settling.Store(true)
	requests, lasted := p.requests.Load(), time.Since(begin)
	// A ticket whose frontend died while Open Match was asked is given up after 30 s.
	ended := make(chan struct{})
	go func() { playing.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(90 * time.Second):
		p.violated("somebody still waits 90 s after the last fault")
		stop()
		<-ended
	}
	stop()
	work.Wait() // who matches takes the lock
	p.mu.Lock()
	defer p.mu.Unlock()
	p.check()
	t.Logf("%d tickets, %.0f requests/s; %d connections broke, %d answers of 503", len(p.tickets), float64(requests)/lasted.Seconds(), p.broken.Load(), p.away.Load())
	t.Logf("%d times all %d players waited, and nobody was free to search", waits, players)
	t.Logf("match announced to player told: %v", &p.told)
	target(t, float64(requests)/lasted.Seconds() >= 300, "at least 300 requests/s")
	target(t, len(p.violations) == 0, "%d of what must not be: %v", len(p.violations), p.violations[:min(20, len(p.violations))])
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// killInTurn kills one frontend after the other, each for a second and a half.
func (p *replicasProof) killInTurn(ctx context.Context) {
	for n := 0; pause(ctx, 4*time.Second) == nil; n++ {
		c := p.frontends[n%len(p.frontends)]
		c.kill()
		_ = pause(context.WithoutCancel(ctx), 1500*time.Millisecond)
		if err := c.start(); err != nil {
			p.violated("a frontend does not start: %v", err)
			return
		}
	}
}

// match makes matches of two, of who has waited for a moment.
func (p *replicasProof) match(ctx context.Context) {
	var mu sync.Mutex
	var waiting []*openmatch.Ticket
	p.s.om.setBeforeReply(func(made *openmatch.Ticket) { mu.Lock(); waiting = append(waiting, made); mu.Unlock() })
	for n := 0; pause(ctx, 100*time.Millisecond) == nil; {
		mu.Lock()
		rand.Shuffle(len(waiting), func(i, j int) { waiting[i], waiting[j] = waiting[j], waiting[i] })
		ready := waiting[:(len(waiting)+1)/2]
		waiting = slices.Clone(waiting[len(ready):])
		mu.Unlock()
		ready = slices.DeleteFunc(ready, func(x *openmatch.Ticket) bool { return !p.s.om.has(x.GetId()) })
		size := 2
		if p.settling.Load() {
			size = 1 // nobody comes any more
		}
		for ; len(ready) >= size; ready = ready[size:] {
			n++
			var ids []string
			for _, x := range ready[:size] {
				ids = append(ids, x.GetId())
			}
			a := announcement(nil, ids...)
			a.Details.MatchId = fmt.Sprint("m-", n)
			now := time.Now()
			p.mu.Lock()
			for _, x := range ready[:size] {
				p.announced[frontendID(x)] = now
				p.s.om.assign(x.GetId(), assignment(p.t, a))
			}
			p.mu.Unlock()
			p.s.director.announce(a)
		}
		mu.Lock()
		waiting = append(waiting, ready...)
		mu.Unlock()
	}
}

// call sends a request to any frontend, until one answers that it was done or cannot be.
func (p *replicasProof) call(ctx context.Context, raw, method, path, body, key string) (int, string) {
	for tries := 0; ctx.Err() == nil; tries++ {
		req, err := http.NewRequestWithContext(ctx, method, p.urls[rand.IntN(len(p.urls))]+path, strings.NewReader(body))
		if err != nil {
			p.violated("%v", err)
			return 0, ""
		}
		req.Header.Set("Authorization", "Bearer "+raw)
		if key != "" {
			req.Header.Set("Idempotency-Key", key)
		}
		p.requests.Add(1)
		resp, err := p.http.Do(req)
		if err != nil {
			p.broken.Add(1)
		} else {
			text, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			switch {
			case err != nil:
				p.broken.Add(1)
			case resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "":
				p.away.Add(1)
			case resp.StatusCode >= 500:
				p.violated("%s %s: %d %s", method, path, resp.StatusCode, text)
				return resp.StatusCode, string(text)
			default:
				return resp.StatusCode, string(text)
			}
		}
		_ = pause(ctx, time.Duration(50+rand.IntN(200))*time.Millisecond)
	}
	return 0, ""
}

// play makes a ticket, one time in ten two at once, follows it to its end, and sometimes
// cancels it.
func (p *replicasProof) play(ctx context.Context, player, raw string) {
	create := func() (string, int, string) {
		code, body := p.call(ctx, raw, "POST", "/v1/tickets", alone, fmt.Sprint(rand.Uint64()))
		var made ticket
		_ = json.Unmarshal([]byte(body), &made) // what is none has no id
		return made.ID, code, body
	}
	var both sync.WaitGroup
	var other string
	var otherCode int
	if rand.IntN(10) == 0 {
		both.Go(func() { other, otherCode, _ = create() })
	}
	id, code, body := create()
	both.Wait()
	if code == http.StatusConflict && otherCode == http.StatusOK { // or one of a frontend that died then
		id, code = other, otherCode
	} else if otherCode == http.StatusOK && code == http.StatusOK && other != id {
		// The first may have ended before the second was made.
		first := p.follow(ctx, player, raw, other, nil)
		if first == nil {
			return
		}
	}
	if ctx.Err() != nil {
		return
	}
	if code != http.StatusOK {
		p.violated("%s makes a ticket: %d %s", player, code, body)
		return
	}
	var cancelled chan time.Time
	var leaving sync.WaitGroup
	if rand.IntN(8) == 0 {
		cancelled = make(chan time.Time, 1)
		leaving.Go(func() {
			_ = pause(ctx, time.Duration(rand.IntN(1500))*time.Millisecond)
			cancelled <- time.Now()
			if code, body := p.call(ctx, raw, "DELETE", "/v1/tickets/"+id, "", ""); code != http.StatusOK && ctx.Err() == nil {
				p.violated("%s cancels %s: %d %s", player, id, code, body)
			}
		})
	}
	s := p.follow(ctx, player, raw, id, cancelled)
	leaving.Wait()
	if s == nil {
		return
	}
	code, body = p.call(ctx, raw, "GET", "/v1/tickets/"+id, "", "")
	if ctx.Err() == nil && (code != http.StatusOK || !strings.Contains(body, `"state":"`+s.state+`"`)) {
		p.violated("%s was told that %s is %s, and reads %d %s", player, id, s.state, code, body)
	}
}

// follow waits for the end of a ticket, wherever a frontend is there.
func (p *replicasProof) follow(ctx context.Context, player, raw, id string, cancelled <-chan time.Time) *seen {
	s := &seen{player: player, id: id, began: time.Now()}
	last := ""
	for ctx.Err() == nil {
		end, err := p.events(ctx, raw, id, &last)
		if err != nil {
			p.violated("%s follows %s: %v", player, id, err)
			return nil
		}
		if end == nil {
			_ = pause(ctx, time.Duration(50+rand.IntN(200))*time.Millisecond)
			continue
		}
		s.told, s.state = time.Now(), end.State
		s.ending = s.told
		p.mu.Lock()
		if at, ok := p.announced[id]; ok && end.State == "ASSIGNED" {
			s.ending, s.match = at, end.Server.MatchID
			p.told.add(s.told.Sub(at))
		}
		if end.State == "CANCELLED" {
			select {
			case s.ending = <-cancelled:
			default:
				p.violations = append(p.violations, fmt.Sprintf("%s of %s is cancelled, and nobody has: %s", id, player, end.Reason))
			}
		}
		p.tickets = append(p.tickets, s)
		p.mu.Unlock()
		return s
	}
	return nil
}

// events reads a stream: the end of the ticket, or nil if the stream broke before that. An
// error is what must not be.
func (p *replicasProof) events(ctx context.Context, raw, id string, last *string) (*ticket, error) {
	req, err := http.NewRequestWithContext(ctx, "GET", p.urls[rand.IntN(len(p.urls))]+"/v1/tickets/"+id+"/events", http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+raw)
	if *last != "" {
		req.Header.Set("Last-Event-ID", *last)
	}
	p.requests.Add(1)
	resp, err := p.http.Do(req)
	if err != nil {
		p.broken.Add(1)
		return nil, nil
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusServiceUnavailable:
		p.away.Add(1)
		return nil, nil
	case http.StatusNoContent:
		return nil, errors.New("the last state was sent, and not read")
	default:
		text, _ := io.ReadAll(resp.Body) // for the message alone
		return nil, fmt.Errorf("%d %s", resp.StatusCode, text)
	}
	lines := bufio.NewScanner(resp.Body)
	name, eventID := "", ""
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "event":
			name = value
		case "id":
			eventID = value
		case "data":
			var now ticket
			if err := json.Unmarshal([]byte(value), &now); name == "ticket" && err != nil {
				return nil, fmt.Errorf("%w: %s", err, value)
			}
			if name == "ticket" && now.State != "SEARCHING" {
				return &now, nil
			}
		case "":
			*last = eventID
		}
	}
	p.broken.Add(1)
	return nil, nil
}
