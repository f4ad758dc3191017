package beacon

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"google.golang.org/grpc"

	"torikumi/frontend/internal/echo"
	"torikumi/frontend/internal/https"
	"torikumi/pkg/config"
	"torikumi/pkg/service"
)

// name of the service in logs and metrics.
const name = "beacon"

// socketBuffer is how many bytes of datagrams the system is asked to keep for a socket, so
// that a short pause of the process loses none.
const socketBuffer = 1 << 20

// Run serves until ctx ends. It calls started once, when everything listens; started may
// be nil. Several can run in one process.
func Run(ctx context.Context, cfg *Config, started func(service.Addrs)) error {
	if err := config.Validate(cfg); err != nil {
		return err
	}
	o := service.Options{
		Name: name, Config: cfg.Config, Logger: cfg.Logger(os.Stderr, name), Registry: service.NewRegistry(),
		HTTPListen: []string{cfg.HTTPListen}, HTTPSListen: []string{cfg.HTTPSListen},
	}
	f := promauto.With(o.Registry)
	if cfg.HTTPSListen != "" {
		certificate, err := https.Load(cfg.TLSConfig)
		if err != nil {
			return fmt.Errorf("start %s: %w", name, err)
		}
		o.TLS = certificate.Config()
		o.Background = append(o.Background, func(ctx context.Context) error { return certificate.Run(ctx, o.Logger) })
	}
	o.HTTP = func(mux *http.ServeMux, _ *grpc.ClientConn) error {
		mux.Handle("GET "+pingPath, ping(f))
		return nil
	}
	conns, err := listen(cfg.UDPListen)
	if err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	defer closeAll(conns)
	server := echo.New(echo.Options{
		Conns: conns, Limits: echo.Limits{Source: cfg.SourceRate, Total: cfg.TotalRate}, Count: count(f), Logger: o.Logger,
	})
	o.Background = append(o.Background, server.Run)
	if started != nil {
		o.Started = func(a service.Addrs) {
			for _, c := range conns {
				a.UDPAll = append(a.UDPAll, c.LocalAddr().String())
			}
			started(a)
		}
	}
	return service.Run(ctx, o)
}

func listen(addrs []string) (conns []*net.UDPConn, err error) {
	defer func() {
		if err != nil {
			closeAll(conns)
		}
	}()
	for _, addr := range addrs {
		at, err := net.ResolveUDPAddr("udp", addr)
		if err != nil {
			return conns, fmt.Errorf("listen for UDP: %w", err)
		}
		conn, err := net.ListenUDP("udp", at)
		if err != nil {
			return conns, fmt.Errorf("listen for UDP: %w", err)
		}
		conns = append(conns, conn)
		_ = conn.SetReadBuffer(socketBuffer) // the system's own is smaller, and works too
	}
	return conns, nil
}

func closeAll(conns []*net.UDPConn) {
	for _, c := range conns {
		_ = c.Close() // closed already, after a stop
	}
}

func count(f promauto.Factory) func(echo.Result) {
	datagrams := f.NewCounterVec(prometheus.CounterOpts{
		Namespace: "torikumi", Subsystem: name, Name: "datagrams_total", Help: "Datagrams that have come, by what became of them.",
	}, []string{"result"})
	counters := make(map[echo.Result]prometheus.Counter)
	for _, r := range echo.Results() {
		counters[r] = datagrams.WithLabelValues(string(r))
	}
	return func(r echo.Result) { counters[r].Inc() }
}

// pingPath is the only one that there is for everybody.
const pingPath = "/ping"

// ping answers browsers, and programs that cannot send datagrams. Pages of any origin may
// read that there is an answer, and how long it took: there is nothing else in it.
func ping(f promauto.Factory) http.Handler {
	pings := f.NewCounter(prometheus.CounterOpts{
		Namespace: "torikumi", Subsystem: name, Name: "pings_total", Help: "Requests over HTTP that were answered.",
	})
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Timing-Allow-Origin", "*")
		h.Set("Cross-Origin-Resource-Policy", "cross-origin") // for pages that are isolated from others
		h.Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusNoContent)
		pings.Inc()
	})
}
