package minimatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

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
		runtime.WithMiddlewares(findRoute),
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
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, r *http.Request) { healthz(self, w, r) })
	return nil
}

// healthz is Open Match's: whether it lives, and with any query whether it is
// ready. It asks over gRPC, as readyz may be at another address.
func healthz(self *grpc.ClientConn, w http.ResponseWriter, r *http.Request) {
	if r.URL.RawQuery != "" {
		got, err := grpc_health_v1.NewHealthClient(self).Check(r.Context(), &grpc_health_v1.HealthCheckRequest{})
		if err != nil || got.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
	}
	_, _ = io.WriteString(w, "ok") // the client is gone if this fails
}

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
	if _, searching := ctx.Value(routeKey{}).(*bool); searching {
		return
	}
	if code == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", strings.Join(methods(mux, r), ", "))
		err := &runtime.HTTPStatusError{HTTPStatus: code, Err: status.Error(codes.Unimplemented, http.StatusText(code))}
		runtime.DefaultHTTPErrorHandler(ctx, mux, m, w, r, err)
		return
	}
	runtime.DefaultRoutingErrorHandler(ctx, mux, m, w, r, code)
}

// routeKey is where the context of a request that only looks for its route has the *bool that
// says whether there is one.
type routeKey struct{}

// methods are those that the path of a request has. The gateway does not list its routes, so
// that each method is tried.
func methods(mux *runtime.ServeMux, r *http.Request) (all []string) {
	for _, method := range []string{http.MethodDelete, http.MethodGet, http.MethodPatch, http.MethodPost, http.MethodPut} {
		found := false
		try := r.Clone(context.WithValue(r.Context(), routeKey{}, &found))
		try.Method, try.Header, try.Body = method, http.Header{}, http.NoBody
		mux.ServeHTTP(nowhere{}, try)
		if found {
			all = append(all, method)
		}
	}
	return all
}

// findRoute keeps requests that only look for their route from it.
func findRoute(next runtime.HandlerFunc) runtime.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, params map[string]string) {
		if found, searching := r.Context().Value(routeKey{}).(*bool); searching {
			*found = true
			return
		}
		next(w, r, params)
	}
}

// nowhere is where an answer goes that nobody wants.
type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) WriteHeader(int)             {}
func (nowhere) Write(b []byte) (int, error) { return len(b), nil }

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

// NewDecoder implements runtime.Marshaler. A body is one JSON object. Fields that do not exist
// are passed over; what follows the object is not, nor are words that are none of an enum's.
func (m *marshaler) NewDecoder(r io.Reader) runtime.Decoder {
	decoder := json.NewDecoder(r)
	return runtime.DecoderFunc(func(v any) error {
		var text json.RawMessage
		if err := decoder.Decode(&text); err != nil {
			return bodyError(err)
		}
		if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
			if _, syntax := errors.AsType[*json.SyntaxError](err); err != nil && !syntax {
				return bodyError(err)
			}
			return errors.New("the body must be one JSON object, and nothing may follow it")
		}
		if err := m.Unmarshal(text, v); err != nil {
			return err
		}
		message, ok := v.(proto.Message)
		if !ok {
			return nil
		}
		if err := enums(message.ProtoReflect().Descriptor(), text, ""); err != nil {
			return err
		}
		anyjson.Restore(message)
		return nil
	})
}

// bodyError is an error of reading a body, without addresses; that there is none is io.EOF.
func bodyError(err error) error {
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return errors.New("the body came too slowly")
	case errors.As(err, new(*net.OpError)):
		return errors.New("the body could not be read to its end")
	}
	return err
}

// enums is the error of the first word in text that is no value of the enum that it should be
// of: protojson passes those over, with all that it does not know.
func enums(of protoreflect.MessageDescriptor, text json.RawMessage, path string) error {
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) != nil {
		return nil // such as a Timestamp, which is a string
	}
	fields := of.Fields()
	for _, name := range slices.Sorted(maps.Keys(members)) {
		member, field := members[name], fields.ByJSONName(name)
		if field == nil {
			field = fields.ByTextName(name)
		}
		if field == nil {
			continue
		}
		one := func(text json.RawMessage, path string) error {
			var word string
			switch {
			case field.Enum() != nil && json.Unmarshal(text, &word) == nil:
				if string(text) != "null" && field.Enum().Values().ByName(protoreflect.Name(word)) == nil {
					return fmt.Errorf("%s must be one of %s, got %.100q", path, words(field.Enum()), word)
				}
			case field.Message() != nil && !field.IsMap() && field.Message().ParentFile().Package() != "google.protobuf":
				return enums(field.Message(), text, path+".")
			}
			return nil
		}
		var items []json.RawMessage
		if !field.IsList() || json.Unmarshal(member, &items) != nil {
			if err := one(member, path+name); err != nil {
				return err
			}
		}
		for i, item := range items {
			if err := one(item, fmt.Sprintf("%s%s[%d]", path, name, i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// words are the names of an enum's values.
func words(of protoreflect.EnumDescriptor) string {
	var all []string
	for i := range of.Values().Len() {
		all = append(all, string(of.Values().Get(i).Name()))
	}
	return strings.Join(all, ", ")
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
