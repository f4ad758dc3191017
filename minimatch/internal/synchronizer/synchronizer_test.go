package synchronizer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"torikumi/minimatch/internal/clock"
	"torikumi/minimatch/internal/synchronizer"
	"torikumi/proto/openmatch"
)

const (
	registration = 250 * time.Millisecond
	collection   = 20 * time.Second
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// evaluator lets each test say what an evaluation does.
type evaluator struct {
	mu       sync.Mutex
	rounds   int
	evaluate func(ctx context.Context, round int, source synchronizer.Source, accept func(string) error) error
}

func (e *evaluator) Evaluate(ctx context.Context, source synchronizer.Source, accept func(string) error) error {
	e.mu.Lock()
	e.rounds++
	round := e.rounds
	e.mu.Unlock()
	return e.evaluate(ctx, round, source, accept)
}

// acceptAll accepts each proposal once it has seen all of them.
func acceptAll(ctx context.Context, _ int, source synchronizer.Source, accept func(string) error) error {
	all, err := takeAll(ctx, source)
	if err != nil {
		return err
	}
	for _, m := range all {
		if err := accept(m.GetMatchId()); err != nil {
			return err
		}
	}
	return nil
}

func takeAll(ctx context.Context, source synchronizer.Source) ([]*openmatch.Match, error) {
	var all []*openmatch.Match
	for {
		batch, err := source.Receive(ctx)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, batch...)
	}
}

// pending remembers what was made pending.
type pending struct {
	mu  sync.Mutex
	ids map[string]bool
	// cleaned counts the calls of RemoveExpired.
	cleaned int
	stamp   uint64
}

func (p *pending) SetPending(ids []string) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		p.ids[id] = true
	}
	p.stamp++
	return p.stamp
}

func (p *pending) RemoveExpired() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cleaned++
}

func (p *pending) cleanups() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cleaned
}

func asProposed(m *openmatch.Match, _ uint64) (*openmatch.Match, error) { return m, nil }

func (p *pending) has(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ids[id]
}

type harness struct {
	*synchronizer.Synchronizer
	t       *testing.T
	clock   *clock.Fake
	pending *pending

	mu        sync.Mutex
	abandoned []string
}

func (f *harness) abandon(proposed, _ *openmatch.Match, _ uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.abandoned = append(f.abandoned, proposed.GetMatchId())
}

func newHarness(t *testing.T, evaluate func(context.Context, int, synchronizer.Source, func(string) error) error) *harness {
	f := &harness{t: t, clock: clock.NewFake(time.Unix(0, 0)), pending: &pending{ids: map[string]bool{}}}
	f.Synchronizer = synchronizer.New(synchronizer.Options{
		Clock:        f.clock,
		Evaluator:    &evaluator{evaluate: evaluate},
		Pending:      f.pending,
		Registration: registration,
		Collection:   collection,
		MaxProposals: 1000, MaxProposalBytes: 1 << 20,
	})
	t.Cleanup(f.Close)
	return f
}

func (f *harness) register() *synchronizer.Call {
	f.t.Helper()
	call, err := f.Register(f.t.Context(), asProposed, f.abandon)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(call.Leave)
	return call
}

func (f *harness) advance(d time.Duration) { f.clock.Advance(d) }

// closeRegistration also starts the collection timer.
func (f *harness) closeRegistration() {
	f.t.Helper()
	f.advance(registration)
}

func (f *harness) next(call *synchronizer.Call, want string) {
	f.t.Helper()
	m, _, err := call.Next(f.t.Context())
	if err != nil || m.GetMatchId() != want {
		f.t.Fatalf("got %v, %v, want %s", m, err, want)
	}
}

func (f *harness) ends(call *synchronizer.Call, want string) {
	f.t.Helper()
	m, _, err := call.Next(f.t.Context())
	if err == nil || !strings.Contains(err.Error(), want) {
		f.t.Fatalf("got %v, %v, want the error %q", m, err, want)
	}
}

func (f *harness) propose(call *synchronizer.Call, id string, tickets ...string) {
	f.t.Helper()
	m := &openmatch.Match{MatchId: id}
	for _, t := range tickets {
		m.Tickets = append(m.Tickets, &openmatch.Ticket{Id: t})
	}
	if err := call.Propose(m); err != nil {
		f.t.Fatal(err)
	}
}

func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

func TestCallsOfOneWindowShareACycleAndLaterOnesGetTheNext(t *testing.T) {
	seen := make(chan string, 3)
	f := newHarness(t, func(ctx context.Context, round int, source synchronizer.Source, accept func(string) error) error {
		all, err := takeAll(ctx, source)
		if err != nil {
			return err
		}
		for _, m := range all {
			seen <- fmt.Sprintf("%d%s", round, m.GetMatchId())
			if err := accept(m.GetMatchId()); err != nil {
				return err
			}
		}
		return nil
	})
	a, b := f.register(), f.register()
	f.propose(a, "a", "t1")
	f.propose(b, "b", "t2")
	f.closeRegistration()

	late := make(chan *synchronizer.Call)
	go func() { late <- f.register() }()
	a.Done()
	b.Done()
	f.next(a, "a")
	f.next(b, "b")
	if !f.pending.has("t1") || !f.pending.has("t2") {
		t.Error("a match came before its tickets were pending")
	}
	f.ends(a, "EOF")
	f.ends(b, "EOF")
	c := <-late
	f.propose(c, "c")
	c.Done()
	f.closeRegistration()
	f.next(c, "c")
	f.ends(c, "EOF")
	for _, want := range []string{"1a", "1b", "2c"} {
		if got := <-seen; got != want {
			t.Errorf("evaluated %s, want %s", got, want)
		}
	}
}

// hasty is a clock on which registration is over as soon as it has begun, as on
// a busy machine that does nothing else for the time of a short window.
type hasty struct{ *clock.Fake }

func (h hasty) AfterFunc(d time.Duration, f func()) clock.Timer {
	timer := h.Fake.AfterFunc(d, f)
	if d == registration {
		h.Advance(d)
	}
	return timer
}

func TestACycleTakesInTheCallThatItIsMadeForHoweverShortItsWindow(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := synchronizer.New(synchronizer.Options{
		Clock: hasty{clock.NewFake(time.Unix(0, 0))},
		Evaluator: &evaluator{evaluate: func(ctx context.Context, round int, source synchronizer.Source, accept func(string) error) error {
			if round > 1 {
				cancel() // the first was over too soon, and so would be the others
			}
			return acceptAll(ctx, round, source, accept)
		}},
		Pending:      &pending{ids: map[string]bool{}},
		Registration: registration, Collection: collection,
		MaxProposals: 1000, MaxProposalBytes: 1 << 20,
	})
	defer s.Close()
	call, err := s.Register(ctx, asProposed, func(_, _ *openmatch.Match, _ uint64) {})
	if err != nil {
		t.Fatalf("the call is in no cycle: %v", err)
	}
	defer call.Leave()
	if err := call.Propose(&openmatch.Match{MatchId: "a"}); err != nil {
		t.Fatal(err)
	}
	call.Done()
	if m, _, err := call.Next(t.Context()); m.GetMatchId() != "a" {
		t.Fatalf("got %v, %v, want a", m, err)
	}
}

func TestACycleWhoseFunctionsAreDoneEndsWithRegistrationNotBefore(t *testing.T) {
	complete := make(chan struct{})
	f := newHarness(t, func(ctx context.Context, _ int, source synchronizer.Source, _ func(string) error) error {
		_, err := takeAll(ctx, source)
		close(complete)
		return err
	})
	a := f.register()
	a.Done()
	a.Done()
	f.advance(registration - 1)
	if closed(complete) {
		t.Fatal("the evaluator was told that there are no more proposals within the registration window")
	}
	b := f.register()
	f.propose(b, "b")
	b.Done()
	f.advance(1)
	<-complete
	f.ends(a, "EOF")
	f.ends(b, "EOF")
}

func TestTheWindowRunsFromTheEndOfRegistrationAndCutsWhoIsNotDone(t *testing.T) {
	f := newHarness(t, acceptAll)
	quick, slow := f.register(), f.register()
	f.propose(quick, "quick")
	quick.Done()
	f.propose(slow, "early")
	f.closeRegistration()
	f.advance(collection - 1)
	if closed(slow.Cut()) {
		t.Fatal("cut too early")
	}
	f.advance(1)
	<-slow.Cut()
	if closed(quick.Cut()) {
		t.Error("the call that was done has been cut")
	}
	f.propose(slow, "late")
	f.next(quick, "quick")
	f.ends(quick, "EOF")
	f.next(slow, "early")
	f.ends(slow, "EOF")
}

func TestAFailedEvaluationIsHeardAtOnceAndHoldsItsWindow(t *testing.T) {
	f := newHarness(t, func(ctx context.Context, round int, source synchronizer.Source, accept func(string) error) error {
		if round == 1 {
			return errors.New("unreachable")
		}
		return acceptAll(ctx, round, source, accept)
	})
	f.ends(f.register(), "unreachable")
	f.ends(f.register(), "unreachable") // joins the same cycle
	f.advance(registration)
	again := f.register()
	f.propose(again, "m")
	again.Done()
	f.closeRegistration()
	f.next(again, "m")
}

func TestMisusedIdsFailTheWholeCycleButAcceptedMatchesStand(t *testing.T) {
	for name, tc := range map[string]struct{ accepted []string }{
		"not given": {[]string{"a", "x"}},
		"twice":     {[]string{"a", "a"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newHarness(t, func(ctx context.Context, _ int, source synchronizer.Source, accept func(string) error) error {
				if _, err := takeAll(ctx, source); err != nil {
					return err
				}
				for _, id := range tc.accepted {
					if err := accept(id); err != nil {
						return err
					}
				}
				return nil
			})
			a, b := f.register(), f.register()
			f.propose(a, "a")
			f.propose(b, "b")
			a.Done()
			b.Done()
			f.closeRegistration()
			f.next(a, "a")
			f.ends(a, name)
			f.ends(b, name)
		})
	}
}

func TestOneIdFromTwoFunctionsFailsTheCycle(t *testing.T) {
	f := newHarness(t, acceptAll)
	a, b := f.register(), f.register()
	f.propose(a, "same")
	if err := b.Propose(&openmatch.Match{MatchId: "same"}); err == nil {
		t.Error("taken")
	}
	f.ends(a, "two match functions")
	f.ends(b, "two match functions")
}

func TestOneIdTwiceFromOneFunctionFailsOnlyThatCall(t *testing.T) {
	f := newHarness(t, acceptAll)
	a, b := f.register(), f.register()
	f.propose(a, "same")
	if err := a.Propose(&openmatch.Match{MatchId: "same"}); err == nil {
		t.Error("taken")
	}
	a.Done()
	f.propose(b, "b")
	b.Done()
	f.closeRegistration()
	f.next(b, "b")
	f.ends(b, "EOF")
	f.next(a, "same")
}

func TestAHangingEvaluatorEndsWhenEveryCallerHasLeft(t *testing.T) {
	hung := make(chan error, 2)
	f := newHarness(t, func(ctx context.Context, round int, source synchronizer.Source, accept func(string) error) error {
		if round > 1 {
			return acceptAll(ctx, round, source, accept)
		}
		<-ctx.Done()
		hung <- ctx.Err()
		return ctx.Err()
	})
	a := f.register()
	ctx, cancel := context.WithCancel(t.Context())
	b, err := f.Register(ctx, asProposed, f.abandon)
	if err != nil {
		t.Fatal(err)
	}
	f.closeRegistration()
	a.Leave()
	a.Leave()
	if len(hung) != 0 {
		t.Fatal("ended with a caller there")
	}
	cancel() // b's caller leaves without a word
	<-hung
	b.Leave()
	next := f.register()
	f.propose(next, "m")
	next.Done()
	f.closeRegistration()
	f.next(next, "m")
}

func TestWaitingForACycleEndsWithTheCaller(t *testing.T) {
	f := newHarness(t, acceptAll)
	f.register()
	f.closeRegistration()
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error)
	go func() {
		_, err := f.Register(ctx, asProposed, f.abandon)
		got <- err
	}()
	cancel()
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestCloseEndsEveryone(t *testing.T) {
	for _, windowClosed := range []bool{false, true} {
		f := newHarness(t, acceptAll)
		call := f.register()
		if windowClosed {
			f.closeRegistration()
		}
		waiting := make(chan error)
		go func() {
			second, err := f.Register(t.Context(), asProposed, f.abandon)
			if err == nil {
				_, _, err = second.Next(t.Context())
			}
			waiting <- err
		}()
		f.Close()
		f.Close()
		f.ends(call, synchronizer.ErrStopped.Error())
		if err := <-waiting; !errors.Is(err, synchronizer.ErrStopped) {
			t.Errorf("got %v", err)
		}
		if _, err := f.Register(t.Context(), asProposed, f.abandon); !errors.Is(err, synchronizer.ErrStopped) {
			t.Errorf("after Close: %v", err)
		}
	}
}

func TestEveryMatchReachesItsOwnCallOnce(t *testing.T) {
	s := synchronizer.New(synchronizer.Options{
		Clock: clock.Real{}, Evaluator: &evaluator{evaluate: acceptAll}, Pending: &pending{ids: map[string]bool{}},
		Registration: time.Millisecond, Collection: time.Minute,
		MaxProposals: 1000, MaxProposalBytes: 1 << 20,
	})
	defer s.Close()
	var callers sync.WaitGroup
	for caller := range 8 {
		callers.Go(func() {
			for round := range 20 {
				ctx, cancel := context.WithCancel(t.Context())
				fetch(t, ctx, s, fmt.Sprintf("%d-%d", caller, round), (caller+round)%5 == 0)
				cancel()
			}
		})
	}
	callers.Wait()
}

// fetch proposes three matches and wants them back, unless it leaves halfway.
func fetch(t *testing.T, ctx context.Context, s *synchronizer.Synchronizer, name string, leave bool) {
	call, err := s.Register(ctx, asProposed, func(_, _ *openmatch.Match, _ uint64) {})
	if err != nil {
		t.Error(err)
		return
	}
	defer call.Leave()
	for i := range 3 {
		if err := call.Propose(&openmatch.Match{MatchId: fmt.Sprintf("%s-%d", name, i)}); err != nil {
			t.Error(err)
		}
	}
	if leave {
		return
	}
	call.Done()
	for i := range 3 {
		m, _, err := call.Next(ctx)
		if err != nil || m.GetMatchId() != fmt.Sprintf("%s-%d", name, i) {
			t.Errorf("%s: got %v, %v", name, m, err)
			return
		}
	}
	if _, _, err := call.Next(ctx); !errors.Is(err, io.EOF) {
		t.Errorf("%s: got %v", name, err)
	}
}

func TestAMatchIsPreparedForItsCaller(t *testing.T) {
	f := newHarness(t, func(ctx context.Context, _ int, source synchronizer.Source, accept func(string) error) error {
		all, err := takeAll(ctx, source)
		for _, m := range all {
			err = errors.Join(err, accept(m.GetMatchId()))
		}
		return err
	})
	var pending, prepared []string
	a, err := f.Register(t.Context(), func(m *openmatch.Match, _ uint64) (*openmatch.Match, error) {
		prepared = append(prepared, m.GetMatchId())
		if f.pending.has("t-" + m.GetMatchId()) {
			pending = append(pending, m.GetMatchId())
		}
		switch m.GetMatchId() {
		case "dropped":
			return nil, nil
		case "impossible":
			return nil, errors.New("it cannot be prepared")
		default:
			return &openmatch.Match{MatchId: m.GetMatchId() + " prepared"}, nil
		}
	}, f.abandon)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Leave()
	b := f.register()
	for _, id := range []string{"first", "dropped", "second", "impossible", "third"} {
		f.propose(a, id, "t-"+id)
	}
	f.propose(b, "other")
	a.Done()
	b.Done()
	f.closeRegistration()
	f.next(b, "other")
	f.ends(b, "EOF")
	f.next(a, "first prepared")
	f.next(a, "second prepared")
	f.ends(a, "it cannot be prepared")
	if got := strings.Join(prepared, " "); got != "first dropped second impossible" {
		t.Errorf("prepared %s", got)
	}
	if got := strings.Join(f.abandoned, " "); got != "impossible third" {
		t.Errorf("abandoned %s", got)
	}
	if len(pending) != len(prepared) {
		t.Errorf("prepared %v, of which the tickets were pending: %v", prepared, pending)
	}
	if f.pending.cleanups() != 1 {
		t.Errorf("a cycle cleaned up %d times", f.pending.cleanups())
	}
}

// What a caller leaves behind is abandoned: what was accepted before, and what is
// accepted after it has gone.
func TestMatchesOfACallerWhoLeavesAreAbandoned(t *testing.T) {
	accepted, gone := make(chan struct{}), make(chan struct{})
	f := newHarness(t, func(ctx context.Context, _ int, source synchronizer.Source, accept func(string) error) error {
		if _, err := takeAll(ctx, source); err != nil {
			return err
		}
		if err := errors.Join(accept("taken"), accept("left")); err != nil {
			return err
		}
		close(accepted)
		<-gone
		return errors.Join(accept("late"), accept("other"))
	})
	a, b := f.register(), f.register()
	for _, id := range []string{"taken", "left", "late"} {
		f.propose(a, id)
	}
	f.propose(b, "other")
	a.Done()
	b.Done()
	f.closeRegistration()
	f.next(a, "taken")
	<-accepted
	a.Leave()
	a.Leave()
	close(gone)
	f.next(b, "other")
	f.ends(b, "EOF")
	f.mu.Lock()
	defer f.mu.Unlock()
	if got := strings.Join(f.abandoned, " "); got != "left late" {
		t.Errorf("abandoned %s", got)
	}
}

// The calls are bounded in number each, and in bytes together.
func TestProposalsAreBounded(t *testing.T) {
	for name, tt := range map[string]struct {
		size, taken int
		err         error
		message     string
		shared      bool // the bound is
	}{
		"in number": {0, 1000, synchronizer.ErrTooMany, "1000 in one cycle (--max-proposals)", false},
		"in bytes":  {100_000, 10, synchronizer.ErrCycleFull, "1048576 bytes together (--max-proposal-bytes)", true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newHarness(t, acceptAll)
			greedy, modest := f.register(), f.register()
			sized := func(id string) *openmatch.Match {
				return &openmatch.Match{MatchId: id, MatchProfile: strings.Repeat("x", tt.size)}
			}
			f.propose(modest, "modest")
			var err error
			taken := 0
			for ; taken <= tt.taken; taken++ {
				if err = greedy.Propose(sized(fmt.Sprint(taken))); err != nil {
					break
				}
			}
			if taken != tt.taken || !errors.Is(err, tt.err) || !errors.Is(err, synchronizer.ErrTooMany) || !strings.Contains(err.Error(), tt.message) {
				t.Errorf("%d were taken, then %v, want %d", taken, err, tt.taken)
			}
			err = modest.Propose(sized("second"))
			switch {
			case !tt.shared && err != nil:
				t.Errorf("the bound of another call gave %v", err)
			case tt.shared && (!errors.Is(err, tt.err) || !strings.Contains(err.Error(), "this one made 1 with 8 bytes, the others 1000070 bytes")):
				t.Errorf("the full cycle gave %v", err)
			}
			greedy.Done()
			modest.Done()
			f.closeRegistration()
			for i := range taken { // they stand
				f.next(greedy, fmt.Sprint(i))
			}
			f.ends(greedy, "EOF")
			f.next(modest, "modest")
			if !tt.shared {
				f.next(modest, "second")
			}
			f.ends(modest, "EOF")
		})
	}
}
