//go:build unix

package test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"

	"torikumi/pkg/problem"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// refused is an answer other than 200.
type refused struct {
	status  int
	problem problem.Problem
}

func (r *refused) Error() string { return fmt.Sprintf("%d: %+v", r.status, r.problem) }

// call makes one HTTP request of a player. The error is *refused for an answer
// that is a problem; everything that is neither is an error of its own.
func (w *harness) call(ctx context.Context, player, method, path string, body []byte) (*torikumiv1.Ticket, error) {
	bearer, err := w.minter.MintPlayer(player, time.Hour, nil)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, w.suite.URL()+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	resp, err := w.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		r := &refused{status: resp.StatusCode}
		if got := resp.Header.Get("Content-Type"); got != problem.ContentType {
			return nil, fmt.Errorf("%d of type %q: %s", resp.StatusCode, got, text)
		}
		if err := json.Unmarshal(text, &r.problem); err != nil || r.problem.Status != resp.StatusCode {
			return nil, fmt.Errorf("%d is no problem (%w): %s", resp.StatusCode, err, text)
		}
		return nil, r
	}
	t := new(torikumiv1.Ticket)
	return t, protojson.Unmarshal(text, t)
}

// ask presses Play for a player in a region.
func (w *harness) ask(ctx context.Context, player, region string) (*torikumiv1.Ticket, error) {
	t, err := w.call(ctx, player, http.MethodPost, "/v1/tickets", fmt.Appendf(nil, `{"queue":"session","region":%q}`, region))
	if err == nil {
		w.mu.Lock()
		w.made++
		w.mu.Unlock()
	}
	return t, err
}

// get reads a player's ticket.
func (w *harness) get(ctx context.Context, player, ticket string) (*torikumiv1.Ticket, error) {
	return w.call(ctx, player, http.MethodGet, "/v1/tickets/"+ticket, nil)
}

// watch follows the ticket to the end of its search, which has to be an
// assignment, one, and records it.
func (w *harness) watch(ctx context.Context, player, ticket string) error {
	return w.follow(ctx, player, ticket, func() {})
}

// watching is watch in the background, once its stream stands; the channel gets
// the error.
func (w *harness) watching(ctx context.Context, player, ticket string) <-chan error {
	w.t.Helper()
	stands, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- w.follow(ctx, player, ticket, sync.OnceFunc(func() { close(stands) }))
	}()
	select {
	case <-stands:
	case err := <-ended:
		w.t.Fatalf("%s watches in vain: %v", player, err)
	}
	return ended
}

// follow is watch, and calls heard with each news.
func (w *harness) follow(ctx context.Context, player, ticket string, heard func()) error {
	bearer, err := w.minter.MintPlayer(player, time.Hour, nil)
	if err != nil {
		return err
	}
	stream, err := w.frontend.WatchTicket(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+bearer),
		&torikumiv1.WatchTicketRequest{TicketId: ticket}, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	var last *torikumiv1.Ticket
	for {
		t, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		heard()
		if last.GetState() == torikumiv1.TicketState_ASSIGNED {
			return fmt.Errorf("news after the assignment: %v", t)
		}
		last = t
	}
	if last.GetState() != torikumiv1.TicketState_ASSIGNED {
		return fmt.Errorf("the search ended as %s", last.GetState())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, twice := w.assigned[player]; twice {
		return errors.New("assigned twice")
	}
	w.assigned[player] = last
	return nil
}

// crowd is players who arrive one after the other, each to be matched.
type crowd struct {
	w       *harness
	end     chan struct{}
	done    chan struct{}
	players sync.WaitGroup
	// refusable tells which refusals a player takes and asks again after.
	refusable func(*refused) bool
	ctx       context.Context
	// came is how many there are, matched how many of them have been assigned.
	came, matched atomic.Int64
}

// arrive lets players come until leave is called. A player who is refused, or
// not answered, has failed, unless refusable says otherwise.
func (w *harness) arrive(refusable func(*refused) bool) *crowd {
	ctx, cancel := context.WithCancel(w.t.Context())
	c := &crowd{w: w, end: make(chan struct{}), done: make(chan struct{}), refusable: refusable, ctx: ctx}
	go func() {
		defer close(c.done)
		tick := time.NewTicker(arrivals)
		defer tick.Stop()
		for {
			if c.came.Load()-c.matched.Load() < mostWaiting {
				c.join()
			}
			select {
			case <-tick.C:
			case <-c.end:
				return
			}
		}
	}()
	w.t.Cleanup(func() { c.close(); cancel(); c.players.Wait() })
	return c
}

// join lets one more player come.
func (c *crowd) join() {
	c.came.Add(1)
	c.players.Go(func() { c.play(c.ctx, c.w.name()) })
}

func (c *crowd) close() {
	select {
	case <-c.end:
	default:
		close(c.end)
	}
	<-c.done
}

// play takes one player to an assignment.
func (c *crowd) play(ctx context.Context, player string) {
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		t, err := c.w.ask(ctx, player, "eu")
		var r *refused
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			if _, err := c.w.get(ctx, player, t.GetId()); err != nil && ctx.Err() == nil {
				c.w.fault("%s: read the ticket: %v", player, err)
			}
			switch err := c.w.watch(ctx, player, t.GetId()); {
			case err == nil:
				c.matched.Add(1)
			case ctx.Err() == nil:
				c.w.fault("%s: %v", player, err)
			}
			return
		case !errors.As(err, &r) || c.refusable == nil || !c.refusable(r):
			c.w.fault("%s was not answered: %v", player, err)
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}

// leave lets no more players come, but one if somebody is left over, and waits
// until all of them are assigned.
func (c *crowd) leave() {
	c.w.t.Helper()
	c.close()
	if c.came.Load()%2 == 1 {
		c.join()
	}
	c.w.until("everybody is assigned", func() bool { return c.matched.Load() == c.came.Load() })
}
