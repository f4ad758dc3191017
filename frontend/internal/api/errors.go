package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"torikumi/pkg/problem"
)

// Error is why a call has failed, for both protocols: HTTP sends the problem,
// gRPC sends GRPCStatus. Nothing internal is in it. Reason is snake_case.
type Error struct {
	Code codes.Code
	problem.Problem
}

func failed(code codes.Code, httpStatus int, reason, message string, fields ...problem.Field) *Error {
	e := &Error{code, problem.New(httpStatus, message, fields...)}
	e.Reason = reason
	return e
}

func (e *Error) Error() string { return e.Detail }

// GRPCStatus is the error as gRPC sends it: fields in a BadRequest detail,
// reason and ticket in an ErrorInfo detail, when to try again in a RetryInfo detail.
func (e *Error) GRPCStatus() *status.Status {
	st := status.New(e.Code, e.Detail)
	bad := &errdetails.BadRequest{}
	for _, f := range e.Errors {
		bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{Field: f.Field, Description: f.Rule})
	}
	if len(e.Errors) > 0 {
		st, _ = st.WithDetails(bad) // fails for the code OK alone
	}
	if e.Reason != "" {
		info := &errdetails.ErrorInfo{Reason: e.Reason, Domain: "torikumi"}
		if e.TicketID != "" {
			info.Metadata = map[string]string{"ticket_id": e.TicketID}
		}
		st, _ = st.WithDetails(info) // as above
	}
	if e.RetryAfter > 0 {
		st, _ = st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(e.RetryAfter)}) // as above
	}
	return st
}

// errInvalid says which fields of a request break which rules.
func errInvalid(fields ...problem.Field) error {
	return failed(codes.InvalidArgument, http.StatusBadRequest, "", "the request breaks the rules of its fields", fields...)
}

func errUnauthenticated(reason, message string) error {
	return failed(codes.Unauthenticated, http.StatusUnauthorized, reason, message)
}

// errNotFound is the same for tickets that are not there and those of others.
func errNotFound() error { return failed(codes.NotFound, http.StatusNotFound, "", "no such ticket") }

// errNoParty is the same for codes of no party, of one that is full and of one that
// the player may not join.
func errNoParty() error {
	return failed(codes.NotFound, http.StatusNotFound, "", "no party can be joined with this code")
}

func errForbidden(reason, message string) error {
	return failed(codes.PermissionDenied, http.StatusForbidden, reason, message)
}

// errTooMany says when the caller may try again.
func errTooMany(reason, message string, again time.Duration) error {
	e := failed(codes.ResourceExhausted, http.StatusTooManyRequests, reason, message)
	e.RetryAfter = again
	return e
}

func errUnavailable(reason, message string) error {
	return failed(codes.Unavailable, http.StatusServiceUnavailable, reason, message)
}

func errStopping() error { return errUnavailable("stopping", "the service is stopping; try again") }

// storeAway is the reason of errStore.
const storeAway = "ticket_store_unavailable"

// errStore says that what is known of tickets cannot be read or changed now.
func errStore() error {
	return errUnavailable(storeAway, "the tickets cannot be reached at the moment; try again")
}

// isStore reports whether an error is errStore's.
func isStore(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Reason == storeAway
}

// errInternal is a fault of ours, which has been logged.
func errInternal() error {
	return failed(codes.Internal, http.StatusInternalServerError, "", "internal error")
}

// errContext says that the caller has gone, or its time is over.
func errContext(ctx context.Context) error {
	if errors.Is(context.Cause(ctx), errReplaced) {
		return errTooMany("too_many_streams", "the player waits by other calls that have begun later", 0)
	}
	st := status.FromContextError(ctx.Err())
	return failed(st.Code(), http.StatusGatewayTimeout, "", st.Message())
}
