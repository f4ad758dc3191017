package service_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"torikumi/pkg/service"
)

// bodies are a route that reads no body, and one that does, says so and then takes
// longer than a limit.
func bodies(limit time.Duration, begun chan<- struct{}) func(*http.ServeMux, *grpc.ClientConn) error {
	return func(mux *http.ServeMux, _ *grpc.ClientConn) error {
		mux.HandleFunc("/unread", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "fine") })
		mux.HandleFunc("/whole", func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.ReadAll(r.Body); err != nil {
				http.Error(w, "unread", http.StatusRequestTimeout)
				return
			}
			if begun != nil {
				begun <- struct{}{}
			}
			ctx, cancel := context.WithTimeout(r.Context(), 3*limit/2)
			defer cancel()
			<-ctx.Done()
			fmt.Fprint(w, context.Cause(ctx))
		})
		return nil
	}
}

const briefly = 50 * time.Millisecond

// neverEnding are requests of which a part never comes.
func neverEnding() map[string]string {
	all := map[string]string{"nothing": "", "half a head": "GET /livez HTTP/1.1\r\nHost"}
	for _, path := range []string{"/livez", "/readyz", "/metrics", "/unread", "/whole", "/none"} {
		for _, method := range []string{"GET", "POST", "HEAD"} {
			head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: a\r\n", method, path)
			all[method+path+" of known length"] = head + "Content-Length: 1\r\n\r\n"
			all[method+path+" in chunks"] = head + "Transfer-Encoding: chunked\r\n\r\n5\r\nab"
			all[method+path+" after another"] = "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n" + head + "Content-Length: 9\r\n\r\nabc"
		}
	}
	return all
}

func send(t *testing.T, addr, text string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestBodyThatNeverComes: it holds a connection for so long, and no longer.
func TestBodyThatNeverComes(t *testing.T) {
	r := start(t, service.Options{HTTP: bodies(briefly, nil), BodyTimeout: briefly})
	for name, text := range neverEnding() {
		if !strings.Contains(text, "\r\n\r\n") {
			continue // the head has its own limit, which is longer
		}
		c := send(t, r.addrs.HTTP, text)
		if _, err := io.ReadAll(c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	r.stop()
	if err := <-r.done; err != nil {
		t.Error(err)
	}
}

// TestStopWithoutBodies: none of them holds up a stop, however long calls that have
// begun may take.
func TestStopWithoutBodies(t *testing.T) {
	r := start(t, service.Options{HTTP: bodies(briefly, nil), BodyTimeout: time.Hour, Config: service.Config{ShutdownTimeout: time.Hour}})
	for _, text := range neverEnding() {
		send(t, r.addrs.HTTP, text)
	}
	r.stop()
	if err := <-r.done; err != nil {
		t.Error(err)
	}
}

// TestBodyThatHasCome: a request that is complete is not touched by the limit of its
// body, nor is the next one on the connection, nor one that is complete at a stop.
func TestBodyThatHasCome(t *testing.T) {
	const limit = 2 * time.Second // in which a busy machine reads the body
	begun := make(chan struct{}, 1)
	r := start(t, service.Options{HTTP: bodies(limit, begun), BodyTimeout: limit, Config: service.Config{ShutdownTimeout: time.Hour}})
	c := send(t, r.addrs.HTTP, "")
	in := bufio.NewReader(c)
	for _, body := range []string{"Content-Length: 2\r\n\r\nab", "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", "Content-Length: 0\r\n\r\n", "\r\n"} {
		if _, err := io.WriteString(c, "POST /whole HTTP/1.1\r\nHost: a\r\n"+body); err != nil {
			t.Fatal(err)
		}
		<-begun
		if strings.HasPrefix(body, "\r\n") {
			r.stop()
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		text, err := io.ReadAll(resp.Body)
		if err != nil || string(text) != context.DeadlineExceeded.Error() {
			t.Errorf("%q: %s %s, %v", body, resp.Status, text, err)
		}
	}
	if err := <-r.done; err != nil {
		t.Error(err)
	}
}
