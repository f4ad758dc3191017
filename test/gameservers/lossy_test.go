//go:build unix

package gameservers

import (
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"sync"
)

// lossyCommand makes this test's program run a game server, the arguments after it, whose
// gate's first answer to each request gets lost after the gate has acted on it.
const lossyCommand = "lossy-gate"

func lossy(args []string) error {
	terminated := outlive()
	target, err := url.Parse(os.Getenv("TORIKUMI_GATE"))
	if err != nil {
		return err
	}
	var mu sync.Mutex
	asked := map[string]bool{}
	errLost := errors.New("lost")
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: func(r *http.Response) error {
			if r.Request.Method != http.MethodPost {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			// A request for admission has a key; departures are lost every second time.
			name := r.Request.URL.Path + " " + r.Request.Header.Get("Idempotency-Key")
			first := !asked[name]
			asked[name] = first || r.Request.Header.Get("Idempotency-Key") != ""
			if first {
				return errLost
			}
			return nil
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ErrorLog:     log.New(io.Discard, "", 0),
	})
	defer proxy.Close()
	proxy.Config.ErrorLog = log.New(io.Discard, "", 0)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "TORIKUMI_GATE="+proxy.URL)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil && !terminated() {
		return err
	}
	return nil
}
