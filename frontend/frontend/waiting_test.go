package frontend_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// BenchmarkWaiting is what players cost who wait with server-sent events while
// nothing happens: 2,000, or as many as TORIKUMI_WAITING says, from this process,
// at a frontend in another one; by WebSocket if TORIKUMI_STREAM is websocket. Linux
// only.
//
//	TORIKUMI_WAITING=10000 go test -run '^$' -bench Waiting -benchtime 1x ./frontend/frontend
func BenchmarkWaiting(b *testing.B) {
	n := 2000
	if text := os.Getenv("TORIKUMI_WAITING"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	for range b.N {
		measureWaiting(b, n)
	}
}

func measureWaiting(b *testing.B, n int) {
	s := prepare(b, nil)
	child := spawn(b, s.cfg)
	addr := child.addr
	s.url = child.url
	tokens := make([]string, n)
	for i := range tokens {
		tokens[i] = s.token(fmt.Sprint("p", i))
	}
	empty := resident(b, child.pid())
	conns := make([]io.Closer, n)
	var work sync.WaitGroup
	for worker := range 8 {
		work.Go(func() {
			for i := worker; i < n; i += 8 {
				var err error
				if conns[i], err = s.wait(addr, tokens[i]); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	work.Wait()
	defer func() {
		for _, c := range conns {
			if c != nil {
				c.Close()
			}
		}
	}()
	if b.Failed() {
		return
	}
	before := cpu(b, child.pid())
	const quiet = 20 * time.Second // more than one heartbeat
	time.Sleep(quiet)
	used := cpu(b, child.pid()) - before
	full := resident(b, child.pid())
	b.ReportMetric(float64(full)/1e6, "MB-resident")
	b.ReportMetric(float64(full-empty)/float64(n)/1e3, "kB/player")
	b.ReportMetric(100*used.Seconds()/quiet.Seconds(), "%CPU")
	b.ReportMetric(0, "ns/op")
}

// wait makes a ticket and follows it; it returns after the first event.
func (s *harness) wait(addr, raw string) (io.Closer, error) {
	r, err := s.try(context.Background(), raw, "POST", "/v1/tickets", strings.NewReader(`{"queue":"session","region":"eu"}`))
	if err != nil {
		return nil, err
	}
	var made ticket
	if err := json.Unmarshal([]byte(r.body), &made); err != nil || made.ID == "" {
		return nil, fmt.Errorf("%d %s", r.code, r.body)
	}
	if os.Getenv("TORIKUMI_STREAM") == "websocket" {
		return s.waitByWebSocket(raw, made.ID)
	}
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequest("GET", s.url+"/v1/tickets/"+made.ID+"/events", http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+raw)
	if err := req.Write(conn); err != nil {
		return nil, err
	}
	read, buf := []byte{}, make([]byte, 4096)
	for !bytes.Contains(read, []byte("event: ticket")) {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, fmt.Errorf("%w after %q", err, read)
		}
		read = append(read, buf[:n]...)
	}
	return conn, nil
}

// socketCloser is a WebSocket that answers pings until it is closed.
type socketCloser struct{ *websocket.Conn }

func (c socketCloser) Close() error { return c.CloseNow() }

func (s *harness) waitByWebSocket(raw, id string) (io.Closer, error) {
	conn, _, err := s.open(context.Background(), raw, "/v1/tickets/"+id+"/websocket", nil)
	if err != nil {
		return nil, err
	}
	_, _, err = conn.Read(context.Background())
	conn.CloseRead(context.Background())
	return socketCloser{conn}, err
}

// resident is the memory of a process in bytes.
func resident(b testing.TB, pid int) int {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Skip(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		b.Fatal(err)
	}
	return kib << 10
}

// cpu is the time that a process has used.
func cpu(b testing.TB, pid int) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Skip(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	if err1 != nil || err2 != nil {
		b.Fatal(string(stat))
	}
	const tick = time.Second / 100 // USER_HZ
	return time.Duration(user+system) * tick
}

// BenchmarkCreate makes tickets over HTTP and ends them, over one connection.
func BenchmarkCreate(b *testing.B) {
	s := start(b, nil)
	raw := s.serviceToken()
	for b.Loop() {
		r := s.send(b.Context(), raw, "POST", "/v1/tickets", strings.NewReader(partyBody))
		made := r.ticket(b)
		b.StopTimer()
		s.send(b.Context(), raw, "DELETE", "/v1/tickets/"+made.ID, http.NoBody)
		b.StartTimer()
	}
}
