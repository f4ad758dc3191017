package api

import (
	"cmp"
	"context"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protopath"
	"google.golang.org/protobuf/reflect/protorange"
	"google.golang.org/protobuf/reflect/protoreflect"

	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Server puts a [Service] over gRPC. It needs the interceptors of
// [ServerOptions].
type Server struct {
	// Not the "Unimplemented" one: a method that is missing fails the build.
	torikumiv1.UnsafeFrontendServiceServer
	Service *Service
}

// CreateTicket implements the FrontendService.
func (s *Server) CreateTicket(ctx context.Context, req *torikumiv1.CreateTicketRequest) (*torikumiv1.Ticket, error) {
	return s.Service.Create(ctx, player(ctx), req)
}

// GetTicket implements the FrontendService.
func (s *Server) GetTicket(ctx context.Context, req *torikumiv1.GetTicketRequest) (*torikumiv1.Ticket, error) {
	return s.Service.Get(ctx, player(ctx), req.GetTicketId())
}

// CancelTicket implements the FrontendService.
func (s *Server) CancelTicket(ctx context.Context, req *torikumiv1.CancelTicketRequest) (*torikumiv1.Ticket, error) {
	return s.Service.Cancel(ctx, player(ctx), req.GetTicketId())
}

// WaitTicket implements the FrontendService.
func (s *Server) WaitTicket(ctx context.Context, req *torikumiv1.WaitTicketRequest) (*torikumiv1.Ticket, error) {
	timeout := DefaultWait
	if d := req.GetTimeout(); d != nil {
		timeout = d.AsDuration()
		if d.CheckValid() != nil {
			timeout = 0 // refused
		}
	}
	return s.Service.Wait(ctx, player(ctx), req.GetTicketId(), timeout)
}

// WatchTicket implements the FrontendService.
func (s *Server) WatchTicket(req *torikumiv1.WatchTicketRequest, out torikumiv1.FrontendService_WatchTicketServer) error {
	const never time.Duration = 0 // gRPC has keepalives of its own
	return s.Service.Watch(out.Context(), player(out.Context()), req.GetTicketId(), never, out.Send)
}

// CreateJoinToken implements the FrontendService.
func (s *Server) CreateJoinToken(ctx context.Context, req *torikumiv1.CreateJoinTokenRequest) (*torikumiv1.JoinToken, error) {
	return s.Service.JoinToken(ctx, player(ctx), req.GetTicketId())
}

// playerKey is where a call's context holds the player's id.
type playerKey struct{}

// player returns who is calling: set by the interceptors for every method of
// FrontendService.
func player(ctx context.Context) string {
	id, _ := ctx.Value(playerKey{}).(string)
	return id
}

// ServerOptions make a gRPC server check the tokens of calls of the
// FrontendService; other services (health) need none.
func ServerOptions(a *Authenticator) []grpc.ServerOption {
	authenticate := func(ctx context.Context, method string) (context.Context, error) {
		if !strings.HasPrefix(method, "/"+torikumiv1.FrontendService_ServiceDesc.ServiceName+"/") {
			return ctx, nil
		}
		id, err := a.Player(ctx, metadata.ValueFromIncomingContext(ctx, "authorization"))
		return context.WithValue(ctx, playerKey{}, id), err
	}
	unary := func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		ctx, err := authenticate(ctx, info.FullMethod)
		if err != nil {
			return nil, err
		}
		if err := refuseUnknown(ctx, req); err != nil {
			return nil, err
		}
		return next(ctx, req)
	}
	stream := func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
		ctx, err := authenticate(ss.Context(), info.FullMethod)
		if err != nil {
			return err
		}
		return next(srv, &playerStream{ss, ctx})
	}
	return []grpc.ServerOption{grpc.ChainUnaryInterceptor(unary), grpc.ChainStreamInterceptor(stream)}
}

// playerStream is a stream whose context knows the player.
type playerStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *playerStream) Context() context.Context { return s.ctx }

// RecvMsg implements grpc.ServerStream.
func (s *playerStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	return refuseUnknown(s.ctx, m)
}

// refuseUnknown refuses a player's message with fields that we do not know, as
// over HTTP: passed over, they would be what a player asked for in vain.
func refuseUnknown(ctx context.Context, m any) error {
	message, ok := m.(proto.Message)
	if _, ofPlayer := ctx.Value(playerKey{}).(string); !ok || !ofPlayer {
		return nil
	}
	var v violations
	// The function returns no error.
	_ = protorange.Range(message.ProtoReflect(), func(p protopath.Values) error {
		at, isMessage := p.Index(-1).Value.Interface().(protoreflect.Message)
		if isMessage && len(at.GetUnknown()) > 0 {
			number, _, _ := protowire.ConsumeTag(at.GetUnknown())
			path, _ := strings.CutPrefix(p.Path[1:].String(), ".")
			v.add(cmp.Or(path, "request"), "must not have the unknown field %d", number)
		}
		return nil
	})
	if len(v) > 0 {
		return errInvalid(v...)
	}
	return nil
}
