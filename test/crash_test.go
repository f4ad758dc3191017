//go:build unix

package test

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/local/suite"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// TestKilled kills what stands between the frontend and Open Match again and
// again while players arrive: each of them is matched, once, and the frontend
// answers everybody all the time.
func TestKilled(t *testing.T) {
	const rounds = 2
	for name, c := range map[string]struct {
		// service says so when the one that is killed is lost and when it is
		// back; backs are the latter without any kill.
		service, lost, back string
		backs               int
	}{
		suite.MatchFunction: {suite.Director, "fetching matches lost", "fetching matches recovered", 0},
		suite.Evaluator:     {suite.Director, "fetching matches lost", "fetching matches recovered", 0},
		suite.Director:      {suite.Frontend, "no announcements from the director", "subscribed to the director's announcements", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := c
			w := newHarness(t)
			c := w.arrive(nil)
			for round := range rounds {
				_, before := w.count()
				w.until("matches are made", func() bool { _, n := w.count(); return n >= before+20 })
				w.process(name).kill()
				w.until("players wait for the dead "+name, func() bool { return w.waiting() >= 30 })
				made, assigned := w.count()
				w.restart(name)
				w.until("those who waited are matched", func() bool { _, n := w.count(); return n >= made })
				t.Logf("round %d: %d of %d were matched when %s came back", round, assigned, made, name)
			}
			c.leave()
			orphans := w.audit(name != suite.Director)
			made, assigned := w.count()
			t.Logf("%d players, %d assigned, %d servers without players", made, assigned, orphans)

			// A line for each change, from each of the three queues at most; the
			// connection may break once more while a service starts.
			lost := w.said(log.service, log.lost)
			if lost < rounds || lost > 12*rounds {
				t.Errorf("%s said %d times %q", log.service, lost, log.lost)
			}
			w.until("all is well again", func() bool { return w.said(log.service, log.back) >= log.backs+w.said(log.service, log.lost) })
		})
	}
}

// TestKilledWhilePlacing kills the director between the allocation of a server
// and the assignment of its players: they are matched again when Open Match
// releases their tickets, and only the second server is for them.
func TestKilledWhilePlacing(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	c := w.arrive(nil)
	for range 3 {
		_, before := w.count()
		w.until("matches are made", func() bool { _, n := w.count(); return n >= before+10 })
		dead := make(chan struct{})
		w.fleet.onMatch(func() { w.process(suite.Director).kill(); close(dead) })
		<-dead
		made, _ := w.count()
		w.restart(suite.Director)
		w.until("those who waited are matched", func() bool { _, n := w.count(); return n >= made })
	}
	c.leave()
	orphans := w.audit(false)
	made, assigned := w.count()
	t.Logf("%d players, %d assigned, %d servers without players", made, assigned, orphans)
}

// TestMinimatchKilled: the tickets die with it, the searches do not. Who waits
// goes on waiting, who comes is told that it is down and can ask again, and
// all are matched when it is back.
func TestMinimatchKilled(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	// One waits in each region, so that nobody can be matched yet.
	regions := []string{"r1", "r2", "r3"}
	tickets := make(map[string]string)
	var watching errgroup.Group
	for _, region := range regions {
		made, err := w.ask(ctx, "early-"+region, region)
		if err != nil {
			t.Fatal(err)
		}
		tickets[region] = made.GetId()
		watching.Go(func() error { return w.watch(ctx, "early-"+region, made.GetId()) })
	}
	// Who asks again and again is told to be slower, if it takes long.
	c := w.arrive(func(r *refused) bool { return matchmakerDown(r) || tooOften(r) })
	w.until("matches are made", func() bool { _, n := w.count(); return n >= 20 })

	w.process(suite.Minimatch).kill()
	var r *refused
	if _, err := w.ask(ctx, "refused", "r9"); !errors.As(err, &r) || !matchmakerDown(r) {
		t.Errorf("a new search without Open Match: %v", err)
	}
	for region, ticket := range tickets {
		now, err := w.get(ctx, "early-"+region, ticket)
		if err != nil || now.GetState() != torikumiv1.TicketState_SEARCHING {
			t.Errorf("in region %s: %v, %v", region, now, err)
		}
	}
	w.until("the director is not ready", func() bool { return w.code(suite.Director, "/readyz") == http.StatusServiceUnavailable })
	if code := w.code(suite.Frontend, "/livez"); code != http.StatusOK {
		t.Errorf("the frontend's health is %d", code)
	}
	w.restart(suite.Minimatch)
	for _, region := range regions {
		player := "late-" + region
		var made *torikumiv1.Ticket
		w.until("a new search is taken", func() bool {
			var err error
			made, err = w.ask(ctx, player, region)
			return err == nil
		})
		watching.Go(func() error { return w.watch(ctx, player, made.GetId()) })
	}
	if err := watching.Wait(); err != nil {
		t.Error(err)
	}
	c.leave()
	t.Logf("%d servers without players", w.audit(false))
	w.until("the director is ready", func() bool { return w.code(suite.Director, "/readyz") == http.StatusOK })
	if lost, back := w.said(suite.Frontend, "connection to Open Match lost"), w.said(suite.Frontend, "connected to Open Match"); lost < 1 || back < 2 {
		t.Errorf("the frontend said %d times that Open Match was lost, %d times that it was there", lost, back)
	}
}

// matchmakerDown is the answer to a new search while Open Match is away.
func matchmakerDown(r *refused) bool {
	return r.status == http.StatusServiceUnavailable && r.problem.Reason == "matchmaker_unavailable" && r.problem.Detail != ""
}

// tooOften is the answer to somebody who has made several tickets within a second.
func tooOften(r *refused) bool {
	return r.status == http.StatusTooManyRequests && r.problem.Reason == "too_many_requests"
}

// TestFrontendKilled: searches die with the frontend. Their players hear it at
// once, and are matched after they have asked again.
func TestFrontendKilled(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	regions := []string{"r1", "r2", "r3"}
	tickets := make(map[string]string)
	var cut []<-chan error
	for _, region := range regions {
		made, err := w.ask(ctx, "early-"+region, region)
		if err != nil {
			t.Fatal(err)
		}
		tickets[region] = made.GetId()
		cut = append(cut, w.watching(ctx, "early-"+region, made.GetId()))
	}
	w.process(suite.Frontend).kill()
	for _, ended := range cut {
		if err := <-ended; status.Code(err) != codes.Unavailable {
			t.Errorf("a player who watched heard %v", err)
		}
	}
	w.restart(suite.Frontend)
	w.http.CloseIdleConnections() // they lead to the dead one
	var watching errgroup.Group
	for _, region := range regions {
		for _, player := range []string{"early-" + region, "late-" + region} {
			if player == "early-"+region {
				_, err := w.get(ctx, player, tickets[region])
				var r *refused
				if !errors.As(err, &r) || r.status != http.StatusNotFound {
					t.Errorf("%s asks for the lost ticket: %v", player, err)
				}
			}
			made, err := w.ask(ctx, player, region)
			if err != nil {
				t.Fatalf("%s asks again: %v", player, err)
			}
			watching.Go(func() error { return w.watch(ctx, player, made.GetId()) })
		}
	}
	if err := watching.Wait(); err != nil {
		t.Error(err)
	}
	w.audit(true)
}

// TestTwoDirectors: two work on the same queues, and one of them is killed;
// nobody is placed twice.
func TestTwoDirectors(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	l := w.launcher
	l.mu.Lock()
	args := l.args[suite.Director]
	l.mu.Unlock()
	second, err := run(ctx, suite.Director, append(slices.Clone(args), "--gate-listen=127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer second.Stop()
	first := w.process(suite.Director)
	l.add(suite.Frontend, "--directors="+first.Addrs().GRPC+","+second.Addrs().GRPC)
	w.restart(suite.Frontend)

	c := w.arrive(nil)
	w.until("both directors have assigned tickets", func() bool { return assignedBy(t, first) >= 10 && assignedBy(t, second) >= 10 })
	c.leave()
	w.audit(true)

	c = w.arrive(nil)
	_, before := w.count()
	w.until("matches are made", func() bool { _, n := w.count(); return n >= before+10 })
	second.kill()
	_, before = w.count()
	w.until("the other one goes on", func() bool { _, n := w.count(); return n >= before+20 })
	c.leave()
	t.Logf("%d servers without players", w.audit(false))
}

// TestTerminated ends each service under players who wait, and then all of them
// in the order that is worst: what the others need goes first.
func TestTerminated(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	names := []string{suite.Evaluator, suite.MatchFunction, suite.Director, suite.Minimatch}
	made, err := w.ask(ctx, "early", "r1")
	if err != nil {
		t.Fatal(err)
	}
	watched := w.watching(ctx, "early", made.GetId())
	for _, name := range names {
		p := w.process(name)
		p.Stop()
		if p.Err() != nil {
			t.Error(p.Err())
		}
		w.restart(name)
	}
	var late *torikumiv1.Ticket
	w.until("a new search is taken", func() bool {
		late, err = w.ask(ctx, "late", "r1")
		return err == nil
	})
	if err := errors.Join(<-watched, w.watch(ctx, "late", late.GetId())); err != nil {
		t.Error(err)
	}
	w.audit(true)

	made, err = w.ask(ctx, "last", "r1")
	if err != nil {
		t.Fatal(err)
	}
	watched = w.watching(ctx, "last", made.GetId())
	for _, name := range append(names, suite.Frontend) {
		p := w.process(name)
		p.Stop()
		if p.Err() != nil {
			t.Error(p.Err())
		}
	}
	if err := <-watched; status.Code(err) != codes.Unavailable {
		t.Errorf("the last player heard %v", err)
	}
}

// assignedBy reads from a director's metrics how many tickets it has assigned.
func assignedBy(t *testing.T, director *process) float64 {
	t.Helper()
	resp, err := http.Get("http://" + director.Addrs().HTTP + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), "torikumi_director_assigned_tickets_total "); ok {
			n, err := strconv.ParseFloat(text, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("the director does not count the tickets it assigns")
	return 0
}
