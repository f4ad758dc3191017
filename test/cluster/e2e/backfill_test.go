//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"torikumi/gameserver/client"
)

// seat is a player in a match.
type seat struct {
	name, bearer, ticket string
	connection           string
	client               *client.Client
	welcome              client.Welcome
}

// filledUp: one of two players leaves, and another one comes in their place. The gate
// asks the director for them over TLS, with the token of its pod, as the policies let it.
func (h *harness) filledUp() {
	began := time.Now()
	ctx, cancel := context.WithTimeout(h.Context(), 2*time.Minute)
	defer cancel()
	var stays, leaves *seat
	both, bothCtx := errgroup.WithContext(ctx)
	both.Go(func() (err error) { stays, err = h.sit(bothCtx, "fill-1"); return err })
	both.Go(func() (err error) { leaves, err = h.sit(bothCtx, "fill-2"); return err })
	if err := both.Wait(); err != nil {
		h.Fatal(err)
	}
	defer stays.client.Close()
	defer leaves.client.Close()
	if stays.welcome.MatchID != leaves.welcome.MatchID {
		h.Fatalf("two who search are in the matches %s and %s", stays.welcome.MatchID, leaves.welcome.MatchID)
	}
	if err := leaves.client.Leave(ctx); err != nil {
		h.Fatal(err)
	}
	left := time.Now()
	joins, err := h.replace(ctx, stays)
	if err != nil {
		h.Fatal(err)
	}
	defer joins.client.Close()
	if joins.welcome.MatchID != stays.welcome.MatchID || joins.connection != stays.connection || joins.welcome.Team != leaves.welcome.Team {
		h.Errorf("who joins is in %+v at %s; who has left was in %+v at %s", joins.welcome, joins.connection, leaves.welcome, leaves.connection)
	}
	h.Logf("%5.1fs until another plays, %.1fs in all", time.Since(left).Seconds(), time.Since(began).Seconds())
	if err := leaves.join(ctx); !refused(err, "place_given") {
		h.Errorf("who has left comes back into the place that was given away: %v", err)
	}
	if err := errors.Join(joins.client.Leave(ctx), stays.client.Leave(ctx)); err != nil {
		h.Error(err)
	}
}

func refused(err error, reason string) bool {
	var r *client.RefusedError
	return errors.As(err, &r) && string(r.Reason) == reason
}

// replace has another player search and join while one of the match pings.
func (h *harness) replace(ctx context.Context, stays *seat) (joins *seat, err error) {
	alive, end := context.WithCancel(ctx)
	var pings errgroup.Group
	pings.Go(func() error {
		every := time.NewTicker(200 * time.Millisecond)
		defer every.Stop()
		for {
			select {
			case <-alive.Done():
				return nil
			case <-every.C:
			}
			if _, err := stays.client.Ping(alive); err != nil && alive.Err() == nil {
				return fmt.Errorf("%s: ping: %w", stays.name, err)
			}
		}
	})
	joins, err = h.sit(ctx, "fill-3")
	end()
	return joins, errors.Join(err, pings.Wait())
}

// sit has a player search in the queue whose matches are filled up, and join.
func (h *harness) sit(ctx context.Context, name string) (*seat, error) {
	s := &seat{name: name}
	var signedIn struct{ Token string }
	if err := ask(ctx, http.MethodPost, "http://"+h.node+":30081/v1/player-tokens", "", fmt.Sprintf(`{"player":%q}`, name), &signedIn); err != nil {
		return nil, err
	}
	s.bearer = signedIn.Token
	var ticket struct {
		ID, State string
		Server    struct{ Connection string }
	}
	tickets := "http://" + h.node + ":30080/v1/tickets"
	if err := ask(ctx, http.MethodPost, tickets, s.bearer, fmt.Sprintf(`{"queue":"refill","players":[{"id":%q}]}`, name), &ticket); err != nil {
		return nil, err
	}
	s.ticket = tickets + "/" + ticket.ID
	for ticket.State == "SEARCHING" {
		if err := ask(ctx, http.MethodGet, s.ticket+"/wait?timeout=20s", s.bearer, "", &ticket); err != nil {
			return nil, err
		}
	}
	if ticket.State != "ASSIGNED" {
		return nil, fmt.Errorf("the search of %s ended as %s", name, ticket.State)
	}
	s.connection = ticket.Server.Connection
	return s, s.join(ctx)
}

// join joins the match by a new token.
func (s *seat) join(ctx context.Context) (err error) {
	c, err := client.Dial(s.connection)
	if err != nil {
		return err
	}
	renew := func(ctx context.Context) (string, error) {
		var made struct{ JWT string }
		err := ask(ctx, http.MethodPost, s.ticket+"/join-token", s.bearer, "{}", &made)
		return made.JWT, err
	}
	jwt, err := renew(ctx)
	if err == nil {
		s.welcome, err = client.Enter(ctx, c, jwt, renew)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%s joins: %w", s.name, err), c.Close())
	}
	s.client = c
	return nil
}

// ask makes one request and reads the answer.
func ask(ctx context.Context, method, url, bearer, body string, answer any) error {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s: %s", method, req.URL.Path, resp.Status, bytes.TrimSpace(text))
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(text, answer)
}
