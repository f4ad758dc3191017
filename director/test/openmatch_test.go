package test_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/evaluator/evaluator"
	"torikumi/matchfunction/matchfunction"
	"torikumi/minimatch/minimatch"
	"torikumi/pkg/config"
	"torikumi/pkg/rpc"
	"torikumi/pkg/service"
	"torikumi/proto/openmatch"
)

// launch runs a service of ours until the test ends, and returns its gRPC address.
func launch[C any](t testing.TB, start func(context.Context, *C, func(service.Addrs)) error, change func(*C)) string {
	t.Helper()
	cfg := settings(t, change)
	addrs := make(chan service.Addrs, 1)
	run(t, func(ctx context.Context) error {
		defer close(addrs)
		return start(ctx, cfg, func(a service.Addrs) { addrs <- a })
	})
	a, ok := <-addrs
	if !ok {
		t.FailNow() // its end says why
	}
	return a.GRPC
}

// settings are the defaults with a change.
func settings[C any](t testing.TB, change func(*C)) *C {
	t.Helper()
	cfg := new(C)
	config.Default(cfg)
	change(cfg)
	if err := config.Validate(cfg); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// openMatch is minimatch with our match function and evaluator.
type openMatch struct {
	addr, function string
	frontend       openmatch.FrontendServiceClient
	backend        openmatch.BackendServiceClient
}

func startOpenMatch(t testing.TB) *openMatch {
	t.Helper()
	chooser := launch(t, evaluator.Run, func(c *evaluator.Config) { c.GRPCListen, c.HTTPListen = "127.0.0.1:0", "127.0.0.1:0" })
	o := &openMatch{addr: launch(t, minimatch.Run, func(c *minimatch.Config) {
		c.GRPCListen, c.HTTPListen, c.Evaluator = "127.0.0.1:0", "127.0.0.1:0", chooser
	})}
	o.function = launch(t, matchfunction.Run, func(c *matchfunction.Config) {
		c.GRPCListen, c.HTTPListen, c.Query = "127.0.0.1:0", "127.0.0.1:0", o.addr
	})
	conn, err := rpc.Dial(o.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	o.frontend, o.backend = openmatch.NewFrontendServiceClient(conn), openmatch.NewBackendServiceClient(conn)
	return o
}

// create makes tickets of one player each, and returns their ids.
func (o *openMatch) create(t testing.TB, n int) (ids []string) {
	t.Helper()
	for range n {
		ticket, err := o.frontend.CreateTicket(t.Context(), &openmatch.CreateTicketRequest{Ticket: &openmatch.Ticket{
			SearchFields: &openmatch.SearchFields{Tags: []string{"mode.session"}, StringArgs: map[string]string{"region": "eu"}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, ticket.GetId())
	}
	return ids
}

// serveDeaf serves Open Match's backend until the test ends, but for AssignTickets:
// called is told of it, and nothing happens. It returns the address.
func serveDeaf(t testing.TB, o *openMatch, called func()) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	openmatch.RegisterBackendServiceServer(s, deafServer{backend: o.backend, called: called})
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(lis) }() // ends with Stop
	t.Cleanup(func() { s.Stop(); <-done })
	return lis.Addr().String()
}

type deafServer struct {
	openmatch.UnimplementedBackendServiceServer
	backend openmatch.BackendServiceClient
	called  func()
}

func (d deafServer) FetchMatches(req *openmatch.FetchMatchesRequest, to grpc.ServerStreamingServer[openmatch.FetchMatchesResponse]) error {
	from, err := d.backend.FetchMatches(to.Context(), req)
	if err != nil {
		return err
	}
	for {
		m, err := from.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = to.Send(m)
		}
		if err != nil {
			return err
		}
	}
}

func (d deafServer) AssignTickets(context.Context, *openmatch.AssignTicketsRequest) (*openmatch.AssignTicketsResponse, error) {
	d.called()
	return nil, status.Error(codes.Unavailable, "not heard")
}

func (d deafServer) ReleaseTickets(ctx context.Context, req *openmatch.ReleaseTicketsRequest) (*openmatch.ReleaseTicketsResponse, error) {
	return d.backend.ReleaseTickets(ctx, req)
}
