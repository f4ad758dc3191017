package minimatch

import (
	"context"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"

	"torikumi/pkg/rpc"
	"torikumi/pkg/service"
	"torikumi/proto/openmatch"
)

// rest adds Open Match's HTTP mapping to the mux. Names, absent fields and
// unknown ones are treated as by Open Match's own gateway.
func rest(mux *http.ServeMux, self *grpc.ClientConn) error {
	gateway := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, &runtime.HTTPBodyMarshaler{
			Marshaler: &runtime.JSONPb{
				MarshalOptions:   protojson.MarshalOptions{UseProtoNames: true},
				UnmarshalOptions: protojson.UnmarshalOptions{DiscardUnknown: true},
			},
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
