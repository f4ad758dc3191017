// Package rpc makes gRPC clients and servers with the settings that Open
// Match, Agones and our own services need of each other, so that no service
// finds them out again.
package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
)

// MaxMessage is the largest message in bytes that we take: a page of 10,000
// tickets passes gRPC's default of 4 MiB from about 420 bytes a ticket on.
const MaxMessage = 64 << 20

// DefaultDeadline is what a unary call gets that has none.
const DefaultDeadline = 10 * time.Second

// Dial makes a client connection in plain text. It does not wait for the
// server: calls fail with Unavailable until it is there, and the connection
// comes back by itself, at the latest 2 s after the server has.
func Dial(target string, opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	return dial(target, insecure.NewCredentials(), opts)
}

func dial(target string, creds credentials.TransportCredentials, opts []grpc.DialOption) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient(target, append([]grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxMessage), grpc.MaxCallSendMsgSize(MaxMessage)),
		// A server without an enforcement policy answers pings more often than
		// each 5 minutes with GOAWAY; that is all a dead peer can cost us.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 5 * time.Minute, Timeout: 20 * time.Second}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithIdleTimeout(0),
		grpc.WithChainUnaryInterceptor(deadline),
	}, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("dial %q: %w", target, err)
	}
	return conn, nil
}

func deadline(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, DefaultDeadline)
		defer cancel()
	}
	return invoke(ctx, method, req, reply, cc, opts...)
}

// EndIdle replaces the keepalive parameters of ServerOptions by those that also end a
// connection on which nothing has been called for so long.
func EndIdle(after time.Duration) grpc.ServerOption {
	p := serverKeepalive()
	p.MaxConnectionIdle = after
	return grpc.KeepaliveParams(p)
}

func serverKeepalive() keepalive.ServerParameters {
	return keepalive.ServerParameters{Time: 2 * time.Minute, Timeout: 20 * time.Second}
}

// ServerOptions are the options of every gRPC server of ours: Open Match's
// clients ping each 20 s even without calls, and would get GOAWAY by default;
// a panic ends its call with Internal and not the process; calls are counted
// in the registry.
func ServerOptions(registry prometheus.Registerer, logger *slog.Logger) []grpc.ServerOption {
	metrics := grpcprom.NewServerMetrics()
	registry.MustRegister(metrics)
	onPanic := recovery.WithRecoveryHandlerContext(func(ctx context.Context, p any) error {
		method, _ := grpc.Method(ctx)
		logger.ErrorContext(ctx, "call panicked", "method", method, "panic", p, "stack", string(debug.Stack()))
		return status.Error(codes.Internal, "internal error")
	})
	return []grpc.ServerOption{
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(serverKeepalive()),
		grpc.MaxRecvMsgSize(MaxMessage),
		grpc.MaxSendMsgSize(MaxMessage),
		grpc.ChainUnaryInterceptor(metrics.UnaryServerInterceptor(), recovery.UnaryServerInterceptor(onPanic)),
		grpc.ChainStreamInterceptor(metrics.StreamServerInterceptor(), recovery.StreamServerInterceptor(onPanic)),
	}
}
