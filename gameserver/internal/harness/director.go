package harness

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"torikumi/pkg/porttest"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Director is a BackfillService that does what its test says. It is safe for concurrent
// use.
type Director struct {
	torikumiv1.UnimplementedBackfillServiceServer
	tb      testing.TB
	options []grpc.ServerOption
	addr    string

	mu     sync.Mutex
	token  string
	answer func(*torikumiv1.FillRequest) (*torikumiv1.FillResponse, error)
	calls  []*torikumiv1.FillRequest
	server *grpc.Server
	served chan struct{}
}

// Searching answers with one free place; the next call is in a second.
func Searching(req *torikumiv1.FillRequest) (*torikumiv1.FillResponse, error) {
	if req.GetStop() {
		return &torikumiv1.FillResponse{State: torikumiv1.FillResponse_STOPPED}, nil
	}
	return &torikumiv1.FillResponse{State: torikumiv1.FillResponse_SEARCHING, OpenPlaces: 1, Next: durationpb.New(time.Second)}, nil
}

// StartDirector serves until the test ends, and knows the gate with the token.
func StartDirector(tb testing.TB, token string, options ...grpc.ServerOption) *Director {
	tb.Helper()
	d := &Director{tb: tb, token: token, options: options, answer: Searching, addr: porttest.Hold(tb).String()}
	d.Restart()
	tb.Cleanup(d.Stop)
	return d
}

// Address is the same for as long as the test lasts.
func (d *Director) Address() string { return d.addr }

// Port is that of Address.
func (d *Director) Port() string {
	_, port, err := net.SplitHostPort(d.addr)
	if err != nil {
		d.tb.Fatal(err)
	}
	return port
}

// Restart serves at the same address again.
func (d *Director) Restart() {
	d.tb.Helper()
	lis, err := net.Listen("tcp", d.addr)
	if err != nil {
		d.tb.Fatal(err)
	}
	server, served := grpc.NewServer(d.options...), make(chan struct{})
	torikumiv1.RegisterBackfillServiceServer(server, d)
	d.mu.Lock()
	d.server, d.served = server, served
	d.mu.Unlock()
	go func() {
		defer close(served)
		_ = server.Serve(lis) // ends with Stop
	}()
}

// Stop breaks all connections.
func (d *Director) Stop() {
	d.mu.Lock()
	server, served := d.server, d.served
	d.mu.Unlock()
	server.Stop()
	<-served
}

// Answer says how calls are answered from now on.
func (d *Director) Answer(f func(*torikumiv1.FillRequest) (*torikumiv1.FillResponse, error)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answer = f
}

// SetToken changes the token that is known.
func (d *Director) SetToken(token string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.token = token
}

// Calls returns the calls that had the right token so far.
func (d *Director) Calls() []*torikumiv1.FillRequest {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.calls)
}

// Last returns the last call; nil before the first.
func (d *Director) Last() *torikumiv1.FillRequest {
	calls := d.Calls()
	if len(calls) == 0 {
		return nil
	}
	return calls[len(calls)-1]
}

// Fill implements BackfillService.
func (d *Director) Fill(ctx context.Context, req *torikumiv1.FillRequest) (*torikumiv1.FillResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if got := metadata.ValueFromIncomingContext(ctx, "authorization"); !slices.Equal(got, []string{"Bearer " + d.token}) {
		return nil, status.Error(codes.Unauthenticated, "no token of a gate")
	}
	d.calls = append(d.calls, proto.CloneOf(req))
	return d.answer(req)
}
