package minimatch

import (
	"context"
	"io"
	"net/http"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"torikumi/minimatch/internal/anyjson"
	"torikumi/pkg/rpc"
	"torikumi/pkg/service"
	"torikumi/proto/openmatch"
)

// rest adds Open Match's HTTP mapping to the mux. Names, absent fields and
// unknown ones are treated as by Open Match's own gateway.
func rest(mux *http.ServeMux, self *grpc.ClientConn) error {
	gateway := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, &runtime.HTTPBodyMarshaler{
			Marshaler: &marshaler{runtime.JSONPb{
				MarshalOptions:   protojson.MarshalOptions{UseProtoNames: true},
				UnmarshalOptions: protojson.UnmarshalOptions{DiscardUnknown: true},
			}},
		}),
		// What a client's headers say is between it and its proxies.
		runtime.WithIncomingHeaderMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithErrorHandler(fail),
		runtime.WithRoutingErrorHandler(noRoute),
	)
	for _, add := range []func(context.Context, *runtime.ServeMux, *grpc.ClientConn) error{
		openmatch.RegisterFrontendServiceHandler,
		openmatch.RegisterBackendServiceHandler,
		openmatch.RegisterQueryServiceHandler,
	} {
		if err := add(context.Background(), gateway, self); err != nil {
			return err
		}
	}
	mux.Handle("/v1/", bounded(gateway))
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, r *http.Request) { healthz(mux, w, r) })
	return nil
}

// healthz is Open Match's: whether it lives, and with any query whether it is
// ready.
func healthz(mux *http.ServeMux, w http.ResponseWriter, r *http.Request) {
	path := "/livez"
	if r.URL.RawQuery != "" {
		path = "/readyz"
	}
	probe := r.Clone(r.Context())
	probe.Method, probe.URL.Path, probe.URL.RawQuery = http.MethodGet, path, ""
	got := &statusOnly{ResponseWriter: w, header: make(http.Header), code: http.StatusOK}
	mux.ServeHTTP(got, probe)
	if got.code != http.StatusOK {
		http.Error(w, "not ready", got.code)
		return
	}
	_, _ = io.WriteString(w, "ok") // the client is gone if this fails
}

// statusOnly keeps the status of an answer and drops the rest.
type statusOnly struct {
	http.ResponseWriter
	header http.Header
	code   int
}

func (s *statusOnly) Header() http.Header         { return s.header }
func (s *statusOnly) WriteHeader(code int)        { s.code = code }
func (s *statusOnly) Write(b []byte) (int, error) { return len(b), nil }

// fail answers errors. A request that is not UTF-8 gets as far as gRPC, which
// takes it for a fault of the service.
func fail(ctx context.Context, mux *runtime.ServeMux, m runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
	if status.Code(err) == codes.Internal && strings.Contains(status.Convert(err).Message(), "invalid UTF-8") {
		err = status.Error(codes.InvalidArgument, "path and query must be UTF-8")
	}
	runtime.DefaultHTTPErrorHandler(ctx, mux, m, w, r, err)
}

// noRoute answers 405 where the gateway would say 501: a method that is not that
// of the path is the client's fault.
func noRoute(ctx context.Context, mux *runtime.ServeMux, m runtime.Marshaler, w http.ResponseWriter, r *http.Request, code int) {
	if code == http.StatusMethodNotAllowed {
		err := &runtime.HTTPStatusError{HTTPStatus: code, Err: status.Error(codes.Unimplemented, http.StatusText(code))}
		runtime.DefaultHTTPErrorHandler(ctx, mux, m, w, r, err)
		return
	}
	runtime.DefaultRoutingErrorHandler(ctx, mux, m, w, r, code)
}

// marshaler is the gateway's for messages whose extensions hold any types.
type marshaler struct{ runtime.JSONPb }

// Marshal implements runtime.Marshaler. The gateway's streams pass their
// messages as {"result": message}.
func (m *marshaler) Marshal(v any) ([]byte, error) {
	text, err := m.JSONPb.Marshal(v)
	if err == nil {
		return text, nil
	}
	switch v := v.(type) {
	case proto.Message:
		return m.JSONPb.Marshal(anyjson.Printable(v))
	case map[string]any:
		if result, ok := v["result"].(proto.Message); ok {
			return m.JSONPb.Marshal(map[string]any{"result": anyjson.Printable(result)})
		}
	}
	return nil, err
}

// NewDecoder implements runtime.Marshaler.
func (m *marshaler) NewDecoder(r io.Reader) runtime.Decoder {
	decoder := m.JSONPb.NewDecoder(r)
	return runtime.DecoderFunc(func(v any) error {
		err := decoder.Decode(v)
		if message, ok := v.(proto.Message); ok && err == nil {
			anyjson.Restore(message)
		}
		return err
	})
}

// bounded takes no larger bodies over HTTP than over gRPC.
func bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, rpc.MaxMessage)
		next.ServeHTTP(w, r)
	})
}

// names are those of Open Match's Services, in the namespace of its chart, which
// a hosts file may have for this machine.
func names() (all []string) {
	for _, suffix := range []string{"", ".open-match", ".open-match.svc", ".open-match.svc.cluster.local"} {
		for _, name := range []string{"open-match-query", "open-match-frontend", "open-match-backend"} {
			all = append(all, name+suffix)
		}
	}
	return all
}

// protect refuses web pages of other origins, which a browser on the same
// machine would let in: the API has no authentication.
func protect(hosts []string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		for _, host := range hosts {
			if !service.LoopbackHost(host) {
				return http.NewCrossOriginProtection().Handler(next)
			}
		}
		return service.LocalOrNamed(next, names())
	}
}
