package problem_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/pkg/problem"
)

func TestFromErrorKeepsFieldsAndReason(t *testing.T) {
	err := fmt.Errorf("outer: %w", problem.InvalidArgument("the ticket is invalid", problem.Field{Field: "queue", Rule: "must be a known queue"}))
	p := problem.FromError(err)
	if p.Status != 400 || len(p.Errors) != 1 || p.Errors[0].Field != "queue" || p.Errors[0].Rule != "must be a known queue" {
		t.Errorf("got %+v", p)
	}
	st, _ := status.New(codes.AlreadyExists, "searching").WithDetails(&errdetails.ErrorInfo{Reason: "ALREADY_SEARCHING", Metadata: map[string]string{"ticket_id": "t1"}})
	if p := problem.FromError(st.Err()); p.Status != 409 || p.Reason != "ALREADY_SEARCHING" || p.TicketID != "t1" {
		t.Errorf("got %+v", p)
	}
}

func TestFaultsOfOursAreNotShown(t *testing.T) {
	for _, err := range []error{errors.New("dial 10.0.0.1: secret"), status.Error(codes.Internal, "secret"), status.Error(codes.Unknown, "secret")} {
		if p := problem.FromError(err); p.Status != 500 || strings.Contains(p.Detail, "secret") {
			t.Errorf("%v -> %+v", err, p)
		}
	}
}

func TestWrite(t *testing.T) {
	w := httptest.NewRecorder()
	problem.Write(w, 401, "a player token is required")
	if w.Code != 401 || w.Header().Get("Content-Type") != problem.ContentType || w.Header().Get("WWW-Authenticate") == "" {
		t.Errorf("got %d %v", w.Code, w.Header())
	}
	var p problem.Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Title != "Unauthorized" || p.Type != "about:blank" || p.Status != 401 {
		t.Errorf("got %+v, %v", p, err)
	}
}

func TestEveryCodeHasAStatus(t *testing.T) {
	for c := codes.OK; c <= codes.Unauthenticated; c++ {
		if s := problem.HTTPStatus(c); s < 200 || s > 599 {
			t.Errorf("%v -> %d", c, s)
		}
	}
}
