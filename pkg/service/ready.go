package service

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// checkTimeout bounds the readiness checks.
const checkTimeout = 2 * time.Second

// readiness answers the probes. Live means: the process answers. Ready means:
// it serves, and all its checks pass.
type readiness struct {
	checks  map[string]func(context.Context) error
	serving atomic.Bool
}

func (r *readiness) set(v bool) { r.serving.Store(v) }

func (r *readiness) routes(mux *http.ServeMux, registry *prometheus.Registry) {
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", r.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
}

func (r *readiness) ready(w http.ResponseWriter, req *http.Request) {
	status, code := "ok", http.StatusOK
	checks := r.run(req.Context())
	for _, text := range checks {
		if text != "ok" {
			status, code = "not ready", http.StatusServiceUnavailable
		}
	}
	if !r.serving.Load() {
		status, code = "stopping", http.StatusServiceUnavailable
	}
	writeJSON(w, code, map[string]any{"status": status, "checks": checks})
}

// run runs all checks, beside each other: a prober does not wait for their sum. The
// texts are "ok" or errors.
func (r *readiness) run(ctx context.Context) map[string]string {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	var mu sync.Mutex
	var running sync.WaitGroup
	texts := make(map[string]string, len(r.checks))
	for name, check := range r.checks {
		running.Go(func() {
			text := "ok"
			if err := check(ctx); err != nil {
				text = err.Error()
			}
			mu.Lock()
			defer mu.Unlock()
			texts[name] = text
		})
	}
	running.Wait()
	return texts
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // the client is gone if this fails
}
