package fleet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/encoding/protojson"

	"torikumi/pkg/service"
	sdkpb "torikumi/proto/agones/sdk"
)

// sdkListeners are the two ports of one game server's SDK server.
type sdkListeners struct {
	grpcAddr, httpAddr string
	stop               func()
}

// serveSDK starts the SDK server of a game server.
func (f *Fleet) serveSDK(name string) (*sdkListeners, error) {
	grpcLis, err := net.Listen("tcp", net.JoinHostPort(f.opts.SDKHost, "0"))
	if err != nil {
		return nil, fmt.Errorf("listen for gRPC: %w", err)
	}
	httpLis, err := net.Listen("tcp", net.JoinHostPort(f.opts.SDKHost, "0"))
	if err != nil {
		_ = grpcLis.Close()
		return nil, fmt.Errorf("listen for REST: %w", err)
	}
	// REST goes through gRPC, as in Agones: only so can it stream.
	conn, err := grpc.NewClient("passthrough:///"+grpcLis.Addr().String(),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithIdleTimeout(0), grpc.WithNoProxy())
	if err != nil {
		_ = grpcLis.Close()
		_ = httpLis.Close()
		return nil, fmt.Errorf("connect REST to gRPC: %w", err)
	}
	mux := sdkMux()
	ctx, cancel := context.WithCancel(context.Background())
	if err := sdkpb.RegisterSDKHandlerClient(ctx, mux, sdkpb.NewSDKClient(conn)); err != nil {
		cancel()
		_ = conn.Close()
		_ = grpcLis.Close()
		_ = httpLis.Close()
		return nil, fmt.Errorf("map REST to gRPC: %w", err)
	}

	grpcServer := grpc.NewServer(grpc.KeepaliveEnforcementPolicy(
		keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}))
	sdkpb.RegisterSDKServer(grpcServer, &sdkService{fleet: f, name: name})
	httpServer := &http.Server{
		Handler:           sdkGuard(f.opts.SDKHost, refuseEmptyHealth(http.MaxBytesHandler(mux, 64<<10))),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	var serving sync.WaitGroup
	serving.Go(func() { f.served(name, grpcServer.Serve(grpcLis)) })
	serving.Go(func() { f.served(name, httpServer.Serve(httpLis)) })
	return &sdkListeners{
		grpcAddr: grpcLis.Addr().String(),
		httpAddr: httpLis.Addr().String(),
		stop: func() {
			cancel()
			_ = httpServer.Close()
			grpcServer.Stop()
			_ = conn.Close()
			serving.Wait()
		},
	}, nil
}

// sdkGuard keeps foreign web pages away from an SDK that only this machine can
// reach.
func sdkGuard(host string, h http.Handler) http.Handler {
	if service.LoopbackHost(host) {
		return service.LocalOnly(h)
	}
	return h
}

func (f *Fleet) served(name string, err error) {
	if err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, grpc.ErrServerStopped) {
		f.opts.Logger.Error("SDK server failed", "gameserver", name, "error", err)
	}
}

// sdkMux writes JSON as Agones does: names as in the .proto, and every field.
func sdkMux() *runtime.ServeMux {
	return runtime.NewServeMux(runtime.WithMarshalerOption(runtime.MIMEWildcard, &runtime.HTTPBodyMarshaler{
		Marshaler: &runtime.JSONPb{
			MarshalOptions:   protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true},
			UnmarshalOptions: protojson.UnmarshalOptions{DiscardUnknown: true},
		},
	}))
}

// refuseEmptyHealth answers 400 to a sign of life without a body, as Agones
// does: through the mapping it would be a stream without any message.
func refuseEmptyHealth(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/health" && r.Body == http.NoBody {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}
