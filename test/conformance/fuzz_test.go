package conformance_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/minimatch/minimatch"
	"torikumi/proto/openmatch"
)

// publicMethods are all methods of the three services that clients call.
func publicMethods(t interface{ Fatal(...any) }) []protoreflect.MethodDescriptor {
	var all []protoreflect.MethodDescriptor
	for _, name := range []protoreflect.FullName{
		"openmatch.FrontendService", "openmatch.BackendService", "openmatch.QueryService",
	} {
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
		if err != nil {
			t.Fatal(err)
		}
		methods := d.(protoreflect.ServiceDescriptor).Methods()
		for i := range methods.Len() {
			all = append(all, methods.Get(i))
		}
	}
	return all
}

// FuzzCall sends any request to any method. Whatever it holds, the answer is a
// status that blames the request, and minimatch goes on serving. Ids of a ticket
// and a backfill that exist are put in, so that calls get further than NotFound.
func FuzzCall(f *testing.F) {
	om := start(f, func(c *minimatch.Config) { c.RegistrationInterval = time.Millisecond })
	methods := publicMethods(f)
	for _, req := range []proto.Message{
		&openmatch.CreateTicketRequest{Ticket: &openmatch.Ticket{SearchFields: &openmatch.SearchFields{
			Tags: []string{"a", "a"}, DoubleArgs: map[string]float64{"x": 1}, StringArgs: map[string]string{"": ""}}}},
		&openmatch.CreateBackfillRequest{Backfill: &openmatch.Backfill{Generation: -1}},
		&openmatch.QueryTicketsRequest{Pool: &openmatch.Pool{
			CreatedBefore:      &timestamppb.Timestamp{Seconds: 1 << 62, Nanos: -1},
			DoubleRangeFilters: []*openmatch.DoubleRangeFilter{{DoubleArg: "x", Max: 2, Exclude: 9}, nil}}},
		&openmatch.AssignTicketsRequest{Assignments: []*openmatch.AssignmentGroup{nil, {TicketIds: []string{"x"}}}},
		&openmatch.FetchMatchesRequest{Config: &openmatch.FunctionConfig{Port: -1}, Profile: &openmatch.MatchProfile{Pools: []*openmatch.Pool{nil}}},
	} {
		body, err := proto.Marshal(req)
		if err != nil {
			f.Fatal(err)
		}
		for i := range methods {
			f.Add(uint8(i), body)
		}
	}
	om.proposing("")
	conn := dial(f, om.addr)
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		method := methods[int(which)%len(methods)]
		req := dynamicpb.NewMessage(method.Input())
		if proto.Unmarshal(body, req) != nil {
			t.Skip("gRPC itself refuses it")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		aim(ctx, t, om, req)
		code := status.Code(call(ctx, conn, method, req))
		switch code {
		case codes.OK, codes.InvalidArgument, codes.NotFound, codes.Unavailable, codes.Canceled:
		case codes.Unknown:
			if method.Name() != "FetchMatches" {
				t.Errorf("%s answered %v", method.FullName(), code)
			}
		default:
			t.Errorf("%s answered %v", method.FullName(), code)
		}
	})
}

// aim replaces what would lead away from this test: ids name things that exist,
// and the match function is the test's own.
func aim(ctx context.Context, t *testing.T, om *openMatch, req *dynamicpb.Message) {
	t.Helper()
	fields := req.Descriptor().Fields()
	if d := fields.ByName("config"); d != nil && req.Has(d) {
		config := req.Mutable(d).Message()
		config.Set(config.Descriptor().Fields().ByName("host"), protoreflect.ValueOfString(om.config.GetHost()))
		config.Set(config.Descriptor().Fields().ByName("port"), protoreflect.ValueOfInt32(om.config.GetPort()))
	}
	if d := fields.ByName("ticket_id"); d != nil && req.Has(d) {
		created, err := om.frontend.CreateTicket(ctx, &openmatch.CreateTicketRequest{Ticket: &openmatch.Ticket{}})
		if err != nil {
			t.Fatalf("it serves no more: %v", err)
		}
		req.Set(d, protoreflect.ValueOfString(created.GetId()))
	}
	created, err := om.frontend.CreateBackfill(ctx, &openmatch.CreateBackfillRequest{Backfill: &openmatch.Backfill{}})
	if err != nil {
		t.Fatalf("it serves no more: %v", err)
	}
	if d := fields.ByName("backfill_id"); d != nil && req.Has(d) {
		req.Set(d, protoreflect.ValueOfString(created.GetId()))
	}
	if d := fields.ByName("backfill"); d != nil && req.Has(d) {
		b := req.Mutable(d).Message()
		b.Set(b.Descriptor().Fields().ByName("id"), protoreflect.ValueOfString(created.GetId()))
	}
	if _, err := om.frontend.DeleteBackfill(ctx, &openmatch.DeleteBackfillRequest{BackfillId: "none"}); err != nil {
		t.Fatalf("it serves no more: %v", err)
	}
}

// call makes it and takes its answers until they end. A watch of a ticket does
// not end by itself, and is left.
func call(ctx context.Context, conn *grpc.ClientConn, method protoreflect.MethodDescriptor, req proto.Message) error {
	name := "/" + string(method.Parent().FullName()) + "/" + string(method.Name())
	if !method.IsStreamingServer() {
		return conn.Invoke(ctx, name, req, dynamicpb.NewMessage(method.Output()))
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, name)
	if err != nil {
		return err
	}
	if err := stream.SendMsg(req); err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	if w, ok := proto.Clone(req).(*dynamicpb.Message); ok && method.Name() == "WatchAssignments" &&
		w.Has(w.Descriptor().Fields().ByName("ticket_id")) {
		return nil
	}
	for {
		err := stream.RecvMsg(dynamicpb.NewMessage(method.Output()))
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
