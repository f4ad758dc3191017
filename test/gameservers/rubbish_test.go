//go:build unix

package gameservers

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestRubbish has something else than a gate answer, or one that dies in the middle: the
// threads that wait for answers must live on, as they also give the signs of life.
func TestRubbish(t *testing.T) {
	need(t, "python3", "python3")
	t.Setenv("PYTHONDONTWRITEBYTECODE", "1")
	for name, c := range map[string]struct{ answer, want string }{
		"an answer":               {"200 OK\r\nContent-Length: 9\r\n\r\n{\"a\":\"b\"}", "200 {'a': 'b'}"},
		"no content":              {"204 No Content\r\n\r\n", "204 {}"},
		"a refusal":               {"403 Forbidden\r\nContent-Length: 9\r\n\r\n{\"a\":\"b\"}", "403 {'a': 'b'}"},
		"a refusal without JSON":  {"404 Not Found\r\nContent-Length: 18\r\n\r\n404 page not found", "404 {}"},
		"a refusal not of UTF-8":  {"500 Oops\r\nContent-Length: 2\r\n\r\n\xff\xfe", "500 {}"},
		"half an answer":          {"200 OK\r\nContent-Length: 100\r\n\r\n{\"a\":", "0 {}"},
		"half a refusal":          {"503 Oops\r\nContent-Length: 100\r\n\r\n{\"a\":", "0 {}"},
		"an answer without JSON":  {"200 OK\r\nContent-Length: 2\r\n\r\nok", "0 {}"},
		"an answer of other JSON": {"200 OK\r\nContent-Length: 2\r\n\r\n[]", "0 {}"},
		"no HTTP":                 {"rubbish\r\n\r\n", "0 {}"},
		"nothing":                 {"", "0 {}"},
	} {
		url := answering(t, c.answer)
		script := "import sys, gate; print(*gate.call('POST', sys.argv[1], {}))"
		cmd := exec.CommandContext(t.Context(), "python3", "-c", script, url)
		cmd.Dir = filepath.Join(examples, "python")
		out, err := cmd.CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != c.want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, c.want)
		}
	}
}

// answering answers every request with a text behind the version of HTTP, and hangs up.
func answering(t *testing.T, text string) (url string) {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lis.Close() })
	go func() {
		for {
			conn, err := lis.Accept()
			if err != nil {
				return
			}
			if req, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				_, _ = io.Copy(io.Discard, req.Body)
			}
			if text != "" {
				_, _ = io.WriteString(conn, "HTTP/1.1 "+text)
			}
			_ = conn.Close()
		}
	}()
	return "http://" + lis.Addr().String()
}
