package backend

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"torikumi/minimatch/internal/synchronizer"
	"torikumi/pkg/rpc"
	"torikumi/proto/openmatch"
)

// oneProposal is a match function.
type oneProposal struct {
	openmatch.UnimplementedMatchFunctionServer
}

func (oneProposal) Run(_ *openmatch.RunRequest, stream openmatch.MatchFunction_RunServer) error {
	return stream.Send(&openmatch.RunResponse{Proposal: &openmatch.Match{MatchId: "m"}})
}

// The log blames a match function for its own bound, and not for that of all
// together, which others may have reached.
func TestTheLogBlamesAMatchFunctionForItsOwnBoundAlone(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	openmatch.RegisterMatchFunctionServer(server, oneProposal{})
	go func() { _ = server.Serve(lis) }()
	t.Cleanup(server.Stop)
	addr := lis.Addr().(*net.TCPAddr)
	cfg := &openmatch.FunctionConfig{Host: addr.IP.String(), Port: int32(addr.Port)} //nolint:gosec // a port

	var log bytes.Buffer
	f := NewFunctions(func(target string) (*grpc.ClientConn, error) { return rpc.Dial(target) }, slog.New(slog.NewTextHandler(&log, nil)))
	t.Cleanup(func() { _ = f.Close() })
	for _, tt := range []struct {
		err  error
		want string
	}{
		{synchronizer.ErrCycleFull, ""},
		{synchronizer.ErrTooMany, "match function fails"},
		{synchronizer.ErrCycleFull, ""}, // nor does it work again
		{nil, "match function works again"},
	} {
		log.Reset()
		err := f.run(t.Context(), cfg, &openmatch.MatchProfile{}, func(*openmatch.Match) error { return tt.err })
		if !errors.Is(err, tt.err) {
			t.Errorf("%v became %v", tt.err, err)
		}
		if got := log.String(); !strings.Contains(got, tt.want) || (tt.want == "") != (got == "") {
			t.Errorf("after %v the log has %q, want %q", tt.err, got, tt.want)
		}
	}
}

// A new backfill makes its match larger than the proposal was.
func TestProposalsThatAreTooLarge(t *testing.T) {
	for name, tt := range map[string]struct {
		backfill *openmatch.Backfill
		size     int
		want     string
	}{
		"a whole message":          {nil, 4 << 20, ""},
		"more":                     {nil, 4<<20 + 1, "a match of 4194305 bytes, at most 4194304"},
		"a backfill that is there": {&openmatch.Backfill{Id: "b"}, 4 << 20, ""},
		"a new backfill":           {&openmatch.Backfill{}, 4<<20 - 1<<10, ""},
		"a new one, and more":      {&openmatch.Backfill{}, 4<<20 - 1<<10 + 1, "a match with a new backfill of 4193281 bytes, at most 4193280"},
		"a new one, a message":     {&openmatch.Backfill{Generation: 1}, 4 << 20, "a match with a new backfill of 4194304 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			run := &openmatch.RunResponse{Proposal: &openmatch.Match{MatchProfile: strings.Repeat("x", tt.size-100), Backfill: tt.backfill}}
			run.Proposal.MatchId = strings.Repeat("x", tt.size-proto.Size(run)-2)
			if size := proto.Size(run); size != tt.size {
				t.Fatalf("the proposal has %d bytes, want %d", size, tt.size)
			}
			answers, proposed := []*openmatch.RunResponse{run}, 0
			err := proposals(t.Context(), func() (*openmatch.RunResponse, error) {
				if len(answers) == 0 {
					return nil, io.EOF
				}
				next := answers[0]
				answers = answers[1:]
				return next, nil
			}, func(*openmatch.Match) error { proposed++; return nil })
			if (tt.want == "") != (err == nil) || (tt.want == "") != (proposed == 1) || !strings.Contains(fmt.Sprint(err), tt.want) && err != nil {
				t.Errorf("%d proposals, %v, want %q", proposed, err, tt.want)
			}
		})
	}
}
