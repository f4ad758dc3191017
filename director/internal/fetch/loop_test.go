package fetch_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"torikumi/director/internal/fetch"
	"torikumi/proto/openmatch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answer is what one fetch brings, after its delay.
type answer struct {
	matches int
	delay   time.Duration
	err     error
	hang    bool
}

// backend answers fetches from a script, whose last entry repeats, and notes
// when they began. All tests run in a bubble of fake time.
type backend struct {
	openmatch.BackendServiceClient
	script []answer
	starts []time.Duration
	epoch  time.Time
}

type stream struct {
	grpc.ServerStreamingClient[openmatch.FetchMatchesResponse]
	ctx context.Context
	a   answer
}

func (b *backend) FetchMatches(ctx context.Context, _ *openmatch.FetchMatchesRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[openmatch.FetchMatchesResponse], error) {
	b.starts = append(b.starts, time.Since(b.epoch))
	a := b.script[0]
	if len(b.script) > 1 {
		b.script = b.script[1:]
	}
	return &stream{ctx: ctx, a: a}, nil
}

func (s *stream) Recv() (*openmatch.FetchMatchesResponse, error) {
	if s.a.hang {
		<-s.ctx.Done()
		return nil, s.ctx.Err()
	}
	time.Sleep(s.a.delay) // of the bubble: it takes no time
	s.a.delay = 0
	if s.a.matches == 0 {
		if s.a.err != nil {
			return nil, s.a.err
		}
		return nil, io.EOF
	}
	s.a.matches--
	return new(openmatch.FetchMatchesResponse), nil
}

// run fetches for the time given and returns when each fetch began.
func run(t *testing.T, d time.Duration, change func(*fetch.LoopOptions), script ...answer) []time.Duration {
	t.Helper()
	b := &backend{script: script, epoch: time.Now()}
	o := fetch.LoopOptions{
		Profile: func() *openmatch.MatchProfile { return nil },
		Queue:   "duel", Backend: b, IdleInterval: 50 * time.Millisecond, Silence: time.Minute,
		Accept:  func(*openmatch.Match, time.Time) bool { return false },
		Failing: func() bool { return false },
		Metrics: fetch.NewMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&o)
	}
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	fetch.Loop(ctx, t.Context(), o)
	return b.starts
}

func TestIdleFetchesAreSpaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		starts := run(t, 999*time.Millisecond, nil, answer{})
		if len(starts) != 20 {
			t.Errorf("%d fetches in 1 s, want one each 50 ms", len(starts))
		}
	})
}

// TestSlowIdleFetch: the interval is between starts, so that a fetch that took
// longer is followed at once.
func TestSlowIdleFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		starts := run(t, 999*time.Millisecond, nil, answer{delay: 250 * time.Millisecond})
		if len(starts) != 4 || starts[1] != 250*time.Millisecond {
			t.Errorf("fetches began at %v", starts)
		}
	})
}

func TestFetchFollowsMatchesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		starts := run(t, time.Second, nil, answer{matches: 2}, answer{matches: 1}, answer{delay: 10 * time.Second})
		if len(starts) != 3 || starts[2] != 0 {
			t.Errorf("fetches began at %v", starts)
		}
	})
}

// TestErrorsBackOff: longer each time, up to 5 s, and one line in the log.
func TestErrorsBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		script := make([]answer, 20)
		for i := range script {
			script[i] = answer{err: errors.New("boom")}
		}
		script = append(script, answer{delay: time.Second})
		starts := run(t, 10*time.Minute, func(o *fetch.LoopOptions) { o.Logger = slog.New(slog.NewTextHandler(&out, nil)) }, script...)
		for i := range 20 {
			want := min(100*time.Millisecond<<min(i, 10), 5*time.Second)
			if gap := starts[i+1] - starts[i]; gap < want/2 || gap > want {
				t.Errorf("fetch %d came after %v, want up to %v", i+1, gap, want)
			}
		}
		if n := strings.Count(out.String(), "\n"); n != 2 || !strings.Contains(out.String(), "fetching matches lost") ||
			!strings.Contains(out.String(), "fetching matches recovered") {
			t.Errorf("log:\n%s", out.String())
		}
	})
}

func TestFailingSlowsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		starts := run(t, time.Minute, func(o *fetch.LoopOptions) { o.Failing = func() bool { return true } }, answer{matches: 1})
		if len(starts) < 30 || len(starts) > 70 {
			t.Errorf("%d fetches in a minute of failing matches, want one each 1 to 2 s", len(starts))
		}
	})
}

func TestSilenceEndsAFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		starts := run(t, 3*time.Minute, func(o *fetch.LoopOptions) { o.Logger = slog.New(slog.NewTextHandler(&out, nil)) },
			answer{matches: 1, delay: 50 * time.Second}, answer{hang: true}, answer{delay: 40 * time.Second})
		if len(starts) < 3 || starts[1] != 50*time.Second || starts[2] < 110*time.Second || starts[2] > 111*time.Second {
			t.Errorf("fetches began at %v", starts)
		}
		if !strings.Contains(out.String(), fetch.ErrSilent.Error()) {
			t.Errorf("log:\n%s", out.String())
		}
	})
}

// TestSlowAcceptIsNotSilence: while nobody reads, Open Match cannot be silent.
func TestSlowAcceptIsNotSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		accepted := 0
		run(t, time.Hour, func(o *fetch.LoopOptions) {
			o.Accept = func(*openmatch.Match, time.Time) bool { accepted++; time.Sleep(2 * time.Minute); return true }
		}, answer{matches: 3}, answer{delay: 30 * time.Second})
		if accepted != 3 {
			t.Errorf("%d of 3 matches were accepted", accepted)
		}
	})
}

// TestAgeOfMatches: after a pause, matches may be as old as the stream's first.
func TestAgeOfMatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		epoch := time.Now()
		var since []time.Duration
		run(t, time.Minute, func(o *fetch.LoopOptions) {
			o.Accept = func(_ *openmatch.Match, at time.Time) bool {
				since = append(since, at.Sub(epoch))
				time.Sleep(time.Second)
				return len(since) >= 2
			}
		}, answer{matches: 4, delay: time.Second}, answer{matches: 1, delay: time.Second}, answer{delay: time.Hour})
		want := []time.Duration{1, 2, 1, 1, 6}
		for i, w := range want {
			if i >= len(since) || since[i] != w*time.Second {
				t.Fatalf("ages = %v, want %v s", since, want)
			}
		}
	})
}

// TestLastFetchIsReadToItsEnd: its matches' tickets are on hold already.
func TestLastFetchIsReadToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		accepted := 0
		starts := run(t, time.Second, func(o *fetch.LoopOptions) {
			o.Accept = func(*openmatch.Match, time.Time) bool { accepted++; return false }
		}, answer{matches: 2, delay: 2 * time.Second})
		if len(starts) != 1 || accepted != 2 {
			t.Errorf("%d fetches, %d matches", len(starts), accepted)
		}
	})
}
