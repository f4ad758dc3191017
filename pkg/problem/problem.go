// Package problem writes errors over HTTP as RFC 9457 problem details, and
// turns the gRPC errors of our services into them. Frontend, gate and the
// local tools answer with it.
package problem

import (
	"encoding/json"
	"errors"
	"net/http"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ContentType is the media type of RFC 9457.
const ContentType = "application/problem+json"

// Field is one thing that is wrong with a request.
type Field struct {
	// Field is the path of the field, such as "players[1].latencies.eu".
	Field string `json:"field"`
	// Rule is what the value has to satisfy.
	Rule string `json:"rule"`
}

// Problem is the body of an error response. The type is always "about:blank",
// so the title is that of the HTTP status.
type Problem struct {
	Type   string  `json:"type"`
	Title  string  `json:"title"`
	Status int     `json:"status"`
	Detail string  `json:"detail,omitempty"`
	Errors []Field `json:"errors,omitempty"`
	// Reason is for machines: a constant in snake_case or UPPER_CASE.
	Reason string `json:"reason,omitempty"`
	// TicketID is the search that a new one is in conflict with.
	TicketID string `json:"ticket_id,omitempty"`
}

// New makes the problem for an HTTP status.
func New(httpStatus int, detail string, fields ...Field) Problem {
	return Problem{Type: "about:blank", Title: http.StatusText(httpStatus), Status: httpStatus, Detail: detail, Errors: fields}
}

// Write sends the problem.
func (p Problem) Write(w http.ResponseWriter) {
	body, err := json.Marshal(p)
	if err != nil { // strings and an int: cannot happen
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", ContentType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Del("Content-Length")
	h.Set("Cache-Control", "no-store")
	if p.Status == http.StatusUnauthorized && h.Get("WWW-Authenticate") == "" {
		h.Set("WWW-Authenticate", "Bearer")
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // the client is gone if this fails
}

// Write sends a problem without fields.
func Write(w http.ResponseWriter, httpStatus int, detail string) {
	New(httpStatus, detail).Write(w)
}

// FromError makes the problem for a gRPC error, its BadRequest and ErrorInfo
// details included. The message of a code that stands for a fault of ours is
// not shown.
func FromError(err error) Problem {
	st, ok := status.FromError(err)
	if !ok {
		var wrapped interface{ GRPCStatus() *status.Status }
		if errors.As(err, &wrapped) {
			st = wrapped.GRPCStatus()
		} else {
			st = status.New(codes.Internal, "")
		}
	}
	p := New(HTTPStatus(st.Code()), st.Message())
	switch st.Code() {
	case codes.Internal, codes.Unknown, codes.DataLoss:
		p.Detail = "internal error"
	}
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				p.Errors = append(p.Errors, Field{Field: v.GetField(), Rule: v.GetDescription()})
			}
		case *errdetails.ErrorInfo:
			p.Reason = d.GetReason()
			p.TicketID = d.GetMetadata()["ticket_id"]
		}
	}
	return p
}

// HTTPStatus maps a gRPC code as google.rpc.Code documents it, with one
// difference: FailedPrecondition is a conflict with the state of the resource.
func HTTPStatus(c codes.Code) int {
	switch c {
	case codes.OK:
		return http.StatusOK
	case codes.InvalidArgument, codes.OutOfRange:
		return http.StatusBadRequest
	case codes.Unauthenticated:
		return http.StatusUnauthorized
	case codes.PermissionDenied:
		return http.StatusForbidden
	case codes.NotFound:
		return http.StatusNotFound
	case codes.AlreadyExists, codes.Aborted, codes.FailedPrecondition:
		return http.StatusConflict
	case codes.ResourceExhausted:
		return http.StatusTooManyRequests
	case codes.Canceled:
		return 499 // the client closed the request; nobody reads this
	case codes.Unimplemented:
		return http.StatusNotImplemented
	case codes.Unavailable:
		return http.StatusServiceUnavailable
	case codes.DeadlineExceeded:
		return http.StatusGatewayTimeout
	default:
		return http.StatusInternalServerError
	}
}

// InvalidArgument makes the gRPC error for fields that break rules.
func InvalidArgument(message string, fields ...Field) error {
	bad := &errdetails.BadRequest{}
	for _, f := range fields {
		bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{Field: f.Field, Description: f.Rule})
	}
	st := status.New(codes.InvalidArgument, message)
	if with, err := st.WithDetails(bad); err == nil {
		st = with
	}
	return st.Err()
}
