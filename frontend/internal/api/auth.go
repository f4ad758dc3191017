package api

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"torikumi/pkg/token"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Authenticator tells from a player token who is calling. Methods of other
// services (health) need no token.
type Authenticator struct{ Verifier *token.PlayerVerifier }

// playerKey is where a call's context holds the player's id.
type playerKey struct{}

// player returns who is calling: set by the interceptors for every method of
// FrontendService.
func player(ctx context.Context) string {
	id, _ := ctx.Value(playerKey{}).(string)
	return id
}

// Bearer returns the token of an Authorization header.
func Bearer(header string) (string, error) {
	if header == "" {
		return "", unauthenticated("missing_token", "a player token is needed: Authorization: Bearer <token>")
	}
	scheme, raw, ok := strings.Cut(header, " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || raw == "" {
		return "", unauthenticated("bad_authorization", "the Authorization header must be: Bearer <token>")
	}
	return raw, nil
}

// Verify returns the player of a token. The error is a gRPC status:
// Unauthenticated with the reason, or Unavailable if nobody can tell now.
func (a *Authenticator) Verify(ctx context.Context, raw string) (string, error) {
	claims, err := a.Verifier.Verify(ctx, raw)
	if err == nil {
		return claims.Subject, nil
	}
	var refusal *token.Refusal
	if !errors.As(err, &refusal) {
		return "", status.Error(codes.Internal, "player token not checked")
	}
	if refusal.Reason == token.ReasonKeysUnavailable {
		return "", withReason(codes.Unavailable, string(refusal.Reason), "player tokens cannot be checked at the moment")
	}
	return "", unauthenticated(string(refusal.Reason), "player token refused: "+string(refusal.Reason))
}

func unauthenticated(reason, message string) error {
	return withReason(codes.Unauthenticated, reason, message)
}

// domain is that of the ErrorInfo details.
const domain = "torikumi"

func withReason(c codes.Code, reason, message string) error {
	return detailed(c, message, &errdetails.ErrorInfo{Reason: reason, Domain: domain})
}

func detailed(c codes.Code, message string, info *errdetails.ErrorInfo) error {
	st := status.New(c, message)
	if with, err := st.WithDetails(info); err == nil {
		st = with
	}
	return st.Err()
}

func (a *Authenticator) authenticate(ctx context.Context, method string) (context.Context, error) {
	if !strings.HasPrefix(method, "/"+torikumiv1.FrontendService_ServiceDesc.ServiceName+"/") {
		return ctx, nil
	}
	values := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(values) > 1 {
		return nil, unauthenticated("bad_authorization", "there must be one authorization and no more")
	}
	raw, err := Bearer(strings.Join(values, ""))
	if err != nil {
		return nil, err
	}
	id, err := a.Verify(ctx, raw)
	if err != nil {
		return nil, err
	}
	return context.WithValue(ctx, playerKey{}, id), nil
}

// ServerOptions make a gRPC server check the tokens.
func (a *Authenticator) ServerOptions() []grpc.ServerOption {
	unary := func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		ctx, err := a.authenticate(ctx, info.FullMethod)
		if err != nil {
			return nil, err
		}
		return next(ctx, req)
	}
	stream := func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
		ctx, err := a.authenticate(ss.Context(), info.FullMethod)
		if err != nil {
			return err
		}
		return next(srv, &stream{ss, ctx})
	}
	return []grpc.ServerOption{grpc.ChainUnaryInterceptor(unary), grpc.ChainStreamInterceptor(stream)}
}

// stream is a call whose context knows the player.
type stream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *stream) Context() context.Context { return s.ctx }
