package minimatch

import (
	"context"
	"io"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
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
	return nil
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

// protect refuses web pages of other origins, which a browser on the same
// machine would let in: the API has no authentication.
func protect(hosts []string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		for _, host := range hosts {
			if !service.LoopbackHost(host) {
				return http.NewCrossOriginProtection().Handler(next)
			}
		}
		return service.LocalOnly(next)
	}
}
