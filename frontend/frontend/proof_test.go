//go:build proof && linux

// What frontends are to hold out, measured with real processes: `make proof`. Each test
// prints its figures and fails where a target is missed, so that it needs a machine that
// does nothing else.

package frontend_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"torikumi/frontend/frontend"
	"torikumi/pkg/redistest"
)

// latencies are times that calls took.
type latencies struct {
	mu  sync.Mutex
	all []time.Duration
}

func (l *latencies) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, d)
}

// at returns a quantile: 0.99 is p99, 1 the longest.
func (l *latencies) at(quantile float64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) == 0 {
		return 0
	}
	slices.Sort(l.all)
	return l.all[min(int(quantile*float64(len(l.all))), len(l.all)-1)]
}

func (l *latencies) String() string {
	ms := func(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }
	return fmt.Sprintf("p50 %v, p95 %v, p99 %v, longest %v, of %d", ms(l.at(0.5)), ms(l.at(0.95)), ms(l.at(0.99)), ms(l.at(1)), len(l.all))
}

// target fails the test if a figure misses its target.
func target(t *testing.T, met bool, what string, args ...any) {
	t.Helper()
	text := fmt.Sprintf(what, args...)
	if !met {
		t.Errorf("MISSED: %s", text)
		return
	}
	t.Logf("met: %s", text)
}

// paced calls do for each of n calls at a rate, from some workers, with when the call was
// due: a target that stalls is charged for all that were due meanwhile.
func paced(n int, rate float64, workers int, do func(worker, i int, due time.Time)) {
	due := make(chan int, n)
	begin := time.Now().Add(10 * time.Millisecond)
	at := func(i int) time.Time { return begin.Add(time.Duration(float64(i) / rate * float64(time.Second))) }
	var work sync.WaitGroup
	for worker := range workers {
		work.Go(func() {
			for i := range due {
				do(worker, i, at(i))
			}
		})
	}
	for i := range n {
		time.Sleep(time.Until(at(i)))
		due <- i
	}
	close(due)
	work.Wait()
}

// line is a connection that is kept for one request after the other.
type line struct {
	addr string
	conn net.Conn
	read *bufio.Reader
}

// ask sends a request as it is, and returns the status and the body of the answer.
func (l *line) ask(request string) (int, string, error) {
	if l.conn == nil {
		conn, err := net.DialTimeout("tcp", l.addr, 10*time.Second)
		if err != nil {
			return 0, "", err
		}
		l.conn, l.read = conn, bufio.NewReader(conn)
	}
	code, body, err := l.try(request)
	if err != nil {
		l.close()
	}
	return code, body, err
}

func (l *line) try(request string) (int, string, error) {
	if err := l.conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return 0, "", err
	}
	if _, err := io.WriteString(l.conn, request); err != nil {
		return 0, "", err
	}
	resp, err := http.ReadResponse(l.read, nil)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

func (l *line) close() {
	if l.conn != nil {
		_ = l.conn.Close() // nothing is under way
		l.conn = nil
	}
}

// lines are some of them, closed at the end of the test.
func lines(t *testing.T, addr string, n int) []*line {
	all := make([]*line, n)
	for i := range all {
		all[i] = &line{addr: addr}
		t.Cleanup(all[i].close)
	}
	return all
}

// request is one over HTTP/1.1.
func request(method, path, raw, body string) string {
	head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: frontend\r\nAuthorization: Bearer %s\r\n", method, path, raw)
	if body != "" {
		head += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	return head + "\r\n" + body
}

const alone = `{"queue":"session","region":"eu"}`

// TestProofCreates: so many tickets a second, at one frontend on this machine.
func TestProofCreates(t *testing.T) {
	for _, c := range []struct {
		store string
		rate  float64
		p99   time.Duration // zero: any
	}{{"Redis", 1000, 50 * time.Millisecond}, {"memory", 3000, 0}} {
		t.Run(c.store, func(t *testing.T) {
			s := prepare(t, func(cfg *frontend.Config) {
				if c.store == "Redis" {
					cfg.Redis = "redis://" + redistest.Start(t).Address
				}
			})
			one := spawn(t, s.cfg)
			const seconds = 20
			n := int(c.rate) * seconds
			requests := make([]string, n)
			for i := range requests {
				requests[i] = request("POST", "/v1/tickets", s.token(fmt.Sprint("p", i)), alone)
			}
			const workers = 256
			conns := lines(t, one.addr, workers)
			var took latencies
			var mu sync.Mutex
			answers := make(map[string]int)
			before, begin := cpu(t, one.pid()), time.Now()
			paced(n, c.rate, workers, func(worker, i int, due time.Time) {
				code, body, err := conns[worker].ask(requests[i])
				took.add(time.Since(due))
				what := fmt.Sprint(code)
				if err != nil {
					what = err.Error()
				} else if code != http.StatusOK {
					what += " " + body
				}
				mu.Lock()
				answers[what]++
				mu.Unlock()
			})
			total := time.Since(begin)
			used := cpu(t, one.pid()) - before
			t.Logf("due to answer: %v", &took)
			t.Logf("%.2f CPUs busy for the frontend; %d MB resident", used.Seconds()/total.Seconds(), resident(t, one.pid())>>20)
			target(t, answers["200"] == n, "all tickets are made: %v", answers)
			rate := float64(n) / total.Seconds()
			target(t, rate >= 0.99*c.rate, "%.0f tickets/s of %.0f", rate, c.rate)
			if c.p99 > 0 {
				target(t, took.at(0.99) <= c.p99, "p99 %v, at most %v", took.at(0.99), c.p99)
			}
		})
	}
}
