package sdkserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/encoding/protojson"

	httpservice "torikumi/pkg/service"
	sdkpb "torikumi/proto/agones/sdk"
	alphapb "torikumi/proto/agones/sdk/alpha"
	betapb "torikumi/proto/agones/sdk/beta"
)

// Options say where Serve listens. The zero value is any free port of loopback.
type Options struct {
	GRPCListen, HTTPListen string
	// NoPlayers refuses player tracking, as Agones does unless its feature
	// PlayerTracking is on.
	NoPlayers bool
	// Failed is told what ends a listener unasked. May be nil.
	Failed func(error)
}

const anyPort = "127.0.0.1:0"

// Server is a running SDK server.
type Server struct {
	// GRPC and HTTP are the addresses that it listens on.
	GRPC, HTTP string

	failed  func(error)
	closers []func()
}

// Serve starts the SDK server of a game server.
func Serve(server GameServer, o Options) (_ *Server, err error) {
	s := &Server{failed: o.Failed}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	grpcServer := grpc.NewServer(grpc.KeepaliveEnforcementPolicy(
		keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}))
	main := &service{server: server}
	sdkpb.RegisterSDKServer(grpcServer, main)
	betapb.RegisterSDKServer(grpcServer, &beta{service: main})
	alphapb.RegisterSDKServer(grpcServer, &alpha{service: main, off: o.NoPlayers})
	if s.GRPC, err = s.listen(o.GRPCListen, grpcServer.Serve, grpcServer.Stop); err != nil {
		return nil, fmt.Errorf("listen for gRPC: %w", err)
	}
	// REST goes through gRPC, as in Agones: only so can it stream.
	conn, err := grpc.NewClient("passthrough:///"+s.GRPC,
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithIdleTimeout(0), grpc.WithNoProxy())
	if err != nil {
		return nil, fmt.Errorf("connect REST to gRPC: %w", err)
	}
	s.closers = append(s.closers, func() { _ = conn.Close() })
	ctx, cancel := context.WithCancel(context.Background())
	s.closers = append(s.closers, cancel)
	mux := sdkMux()
	if err := errors.Join(
		sdkpb.RegisterSDKHandlerClient(ctx, mux, sdkpb.NewSDKClient(conn)),
		betapb.RegisterSDKHandlerClient(ctx, mux, betapb.NewSDKClient(conn)),
		alphapb.RegisterSDKHandlerClient(ctx, mux, alphapb.NewSDKClient(conn)),
	); err != nil {
		return nil, fmt.Errorf("map REST to gRPC: %w", err)
	}
	httpServer := &http.Server{
		Handler:           httpservice.LocalOnly(overWebSocket(refuseEmptyHealth(http.MaxBytesHandler(mux, 64<<10)))),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	httpservice.LimitBodies(httpServer)
	if s.HTTP, err = s.listen(o.HTTPListen, httpServer.Serve, func() { _ = httpServer.Close() }); err != nil {
		return nil, fmt.Errorf("listen for REST: %w", err)
	}
	return s, nil
}

// listen serves until Close, which calls stop.
func (s *Server) listen(addr string, serve func(net.Listener) error, stop func()) (string, error) {
	lis, err := httpservice.Listen(context.Background(), cmp.Or(addr, anyPort))
	if err != nil {
		return "", err
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		err := serve(lis)
		if err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, grpc.ErrServerStopped) && s.failed != nil {
			s.failed(err)
		}
	}()
	s.closers = append(s.closers, func() { stop(); <-served })
	return lis.Addr().String(), nil
}

// Close ends all calls and returns when nothing is left.
func (s *Server) Close() {
	for _, c := range slices.Backward(s.closers) {
		c()
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
