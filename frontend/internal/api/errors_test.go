package api

import (
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/pkg/problem"
)

// TestGRPCStatus: gRPC says what HTTP says.
func TestGRPCStatus(t *testing.T) {
	e := failed(codes.AlreadyExists, 409, "already_searching", "searching", problem.Field{Field: "queue", Rule: "must be free"})
	e.TicketID = "t1"
	st := status.Convert(error(e))
	if st.Code() != codes.AlreadyExists || st.Message() != "searching" || len(st.Details()) != 2 {
		t.Fatalf("status: %v %v", st, st.Details())
	}
	bad, _ := st.Details()[0].(*errdetails.BadRequest)
	if v := bad.GetFieldViolations(); len(v) != 1 || v[0].GetField() != "queue" || v[0].GetDescription() != "must be free" {
		t.Errorf("fields: %v", v)
	}
	info, _ := st.Details()[1].(*errdetails.ErrorInfo)
	if info.GetReason() != "already_searching" || info.GetMetadata()["ticket_id"] != "t1" {
		t.Errorf("info: %v", info)
	}
}
