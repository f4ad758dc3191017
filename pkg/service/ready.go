package service

import (
	"context"
	"encoding/json"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// checkTimeout bounds one readiness check.
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
	checks := make(map[string]string, len(r.checks))
	for name, check := range r.checks {
		ctx, cancel := context.WithTimeout(req.Context(), checkTimeout)
		err := check(ctx)
		cancel()
		checks[name] = "ok"
		if err != nil {
			checks[name] = err.Error()
			status, code = "not ready", http.StatusServiceUnavailable
		}
	}
	if !r.serving.Load() {
		status, code = "stopping", http.StatusServiceUnavailable
	}
	writeJSON(w, code, map[string]any{"status": status, "checks": checks})
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // the client is gone if this fails
}
