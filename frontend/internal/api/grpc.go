package api

import (
	"cmp"
	"context"
	"strings"
	"time"

	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // clients may compress, and get answers likewise
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
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
	return s.Service.Create(ctx, caller(ctx), metadata.ValueFromIncomingContext(ctx, KeyHeader), req)
}

// ListTickets implements the FrontendService.
func (s *Server) ListTickets(ctx context.Context, _ *torikumiv1.ListTicketsRequest) (*torikumiv1.ListTicketsResponse, error) {
	return s.Service.List(ctx, caller(ctx))
}

// GetTicket implements the FrontendService.
func (s *Server) GetTicket(ctx context.Context, req *torikumiv1.GetTicketRequest) (*torikumiv1.Ticket, error) {
	return s.Service.Get(ctx, caller(ctx), req.GetTicketId())
}

// CancelTicket implements the FrontendService.
func (s *Server) CancelTicket(ctx context.Context, req *torikumiv1.CancelTicketRequest) (*torikumiv1.Ticket, error) {
	return s.Service.Cancel(ctx, caller(ctx), req.GetTicketId())
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
	return s.Service.Wait(ctx, caller(ctx), req.GetTicketId(), timeout)
}

// WatchTicket implements the FrontendService.
func (s *Server) WatchTicket(req *torikumiv1.WatchTicketRequest, out torikumiv1.FrontendService_WatchTicketServer) error {
	const never time.Duration = 0 // gRPC has keepalives of its own
	who := caller(out.Context())
	who.Claims = nil // it is kept for as long as the stream
	return s.Service.Watch(out.Context(), who, req.GetTicketId(), never, out.Send)
}

// CreateJoinToken implements the FrontendService.
func (s *Server) CreateJoinToken(ctx context.Context, req *torikumiv1.CreateJoinTokenRequest) (*torikumiv1.JoinToken, error) {
	return s.Service.JoinToken(ctx, caller(ctx), req.GetTicketId())
}

// JoinParty implements the FrontendService.
func (s *Server) JoinParty(ctx context.Context, req *torikumiv1.JoinPartyRequest) (*torikumiv1.Ticket, error) {
	return s.Service.JoinParty(ctx, caller(ctx), req)
}

// RemovePlayer implements the FrontendService.
func (s *Server) RemovePlayer(ctx context.Context, req *torikumiv1.RemovePlayerRequest) (*torikumiv1.RemovePlayerResponse, error) {
	return &torikumiv1.RemovePlayerResponse{}, s.Service.RemovePlayer(ctx, caller(ctx), req.GetTicketId(), req.GetPlayerId())
}

// StartTicket implements the FrontendService.
func (s *Server) StartTicket(ctx context.Context, req *torikumiv1.StartTicketRequest) (*torikumiv1.Ticket, error) {
	return s.Service.Start(ctx, caller(ctx), req.GetTicketId())
}

// ListRegions implements the FrontendService.
func (s *Server) ListRegions(context.Context, *torikumiv1.ListRegionsRequest) (*torikumiv1.ListRegionsResponse, error) {
	return s.Service.ListRegions(), nil
}

// AcceptTicket implements the FrontendService.
func (s *Server) AcceptTicket(ctx context.Context, req *torikumiv1.AcceptTicketRequest) (*torikumiv1.Ticket, error) {
	return s.Service.Accept(ctx, caller(ctx), req.GetTicketId(), req.GetProposalId())
}

// DeclineTicket implements the FrontendService.
func (s *Server) DeclineTicket(ctx context.Context, req *torikumiv1.DeclineTicketRequest) (*torikumiv1.Ticket, error) {
	return s.Service.Decline(ctx, caller(ctx), req.GetTicketId(), req.GetProposalId())
}

// callerKey is where a call's context holds who calls.
type callerKey struct{}

// caller returns who is calling: set by the interceptors for every method of
// FrontendService.
func caller(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

// ServerOptions make a gRPC server check the tokens of calls of the
// FrontendService; ListRegions and other services (health) need none.
func ServerOptions(a *Authenticator) []grpc.ServerOption {
	authenticate := func(ctx context.Context, method string) (context.Context, error) {
		if !strings.HasPrefix(method, "/"+torikumiv1.FrontendService_ServiceDesc.ServiceName+"/") {
			return ctx, nil
		}
		if method == torikumiv1.FrontendService_ListRegions_FullMethodName {
			return context.WithValue(ctx, callerKey{}, Caller{}), nil
		}
		c, err := a.Caller(ctx, metadata.ValueFromIncomingContext(ctx, "authorization"))
		if p, ok := peer.FromContext(ctx); ok {
			c.Address = a.Proxies.Client(p.Addr.String(), metadata.ValueFromIncomingContext(ctx, "x-forwarded-for"))
		}
		return context.WithValue(ctx, callerKey{}, c), err
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
		return next(srv, &callerStream{ss, ctx})
	}
	return []grpc.ServerOption{grpc.ChainUnaryInterceptor(unary), grpc.ChainStreamInterceptor(stream)}
}

// callerStream is a stream whose context knows the caller.
type callerStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *callerStream) Context() context.Context { return s.ctx }

// RecvMsg implements grpc.ServerStream.
func (s *callerStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	return refuseUnknown(s.ctx, m)
}

// refuseUnknown refuses a caller's message with fields that we do not know, as
// over HTTP: passed over, they would be what somebody asked for in vain.
func refuseUnknown(ctx context.Context, m any) error {
	message, ok := m.(proto.Message)
	if _, known := ctx.Value(callerKey{}).(Caller); !ok || !known {
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
