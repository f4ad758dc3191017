package backend

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"

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
