package api

import (
	"context"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/pkg/problem"
)

// Error is why a call of the [Service] or the [Authenticator] has failed, for
// both protocols: gRPC sends GRPCStatus, HTTP sends Problem. Nothing internal is
// in it.
type Error struct {
	Code codes.Code
	// Reason is for machines: a constant in snake_case, or empty.
	Reason  string
	Message string
	// Fields are what is wrong with the request.
	Fields []problem.Field
	// TicketID is the ticket that a new one is in conflict with.
	TicketID string
}

func (e *Error) Error() string { return e.Message }

// domain is that of the ErrorInfo details.
const domain = "torikumi"

// GRPCStatus is the error as gRPC sends it: fields in a BadRequest detail,
// reason and ticket in an ErrorInfo detail.
func (e *Error) GRPCStatus() *status.Status {
	st := status.New(e.Code, e.Message)
	bad := &errdetails.BadRequest{}
	for _, f := range e.Fields {
		bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{Field: f.Field, Description: f.Rule})
	}
	if len(e.Fields) > 0 {
		st, _ = st.WithDetails(bad) // fails for the code OK alone
	}
	if e.Reason != "" {
		info := &errdetails.ErrorInfo{Reason: e.Reason, Domain: domain}
		if e.TicketID != "" {
			info.Metadata = map[string]string{"ticket_id": e.TicketID}
		}
		st, _ = st.WithDetails(info) // as above
	}
	return st
}

// Problem is the error as HTTP sends it.
func (e *Error) Problem() problem.Problem {
	p := problem.New(problem.HTTPStatus(e.Code), e.Message, e.Fields...)
	p.Reason, p.TicketID = e.Reason, e.TicketID
	return p
}

// errInvalid says which fields of a request break which rules.
func errInvalid(fields ...problem.Field) error {
	return &Error{Code: codes.InvalidArgument, Message: "the request breaks the rules of its fields", Fields: fields}
}

func errUnauthenticated(reason, message string) error {
	return &Error{Code: codes.Unauthenticated, Reason: reason, Message: message}
}

// errNotFound is the same for tickets that are not there and those of others.
func errNotFound() error { return &Error{Code: codes.NotFound, Message: "no such ticket"} }

func errStopping() error {
	return &Error{Code: codes.Unavailable, Reason: "stopping", Message: "the service is stopping; try again"}
}

// errContext says that the caller has gone, or its time is over.
func errContext(ctx context.Context) error {
	st := status.FromContextError(ctx.Err())
	return &Error{Code: st.Code(), Message: st.Message()}
}
