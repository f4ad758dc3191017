package frontend_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"torikumi/pkg/rpc"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// answers notes by which compression answers come.
type answers struct {
	mu  sync.Mutex
	how []string
}

func (*answers) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (*answers) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

func (*answers) HandleConn(context.Context, stats.ConnStats) {}

func (a *answers) HandleRPC(_ context.Context, s stats.RPCStats) {
	if in, ok := s.(*stats.InHeader); ok {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.how = append(a.how, in.Compression)
	}
}

// TestGzip: the package that knows gzip is the frontend's import alone. A client that compresses gets its answers compressed, streams too; what is
// small on the wire alone is still too large.
func TestGzip(t *testing.T) {
	s := start(t, nil)
	seen := new(answers)
	conn, err := rpc.Dial(s.addrs.GRPC, grpc.WithDefaultCallOptions(grpc.UseCompressor("gzip")), grpc.WithStatsHandler(seen))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := torikumiv1.NewFrontendServiceClient(conn)
	as := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+s.token("a"))
	made, err := client.CreateTicket(as, &torikumiv1.CreateTicketRequest{Queue: "session"})
	if err != nil {
		t.Fatal(err)
	}
	watch(t, client, as, made.GetId(), func() {
		if _, err := client.CancelTicket(as, &torikumiv1.CancelTicketRequest{TicketId: made.GetId()}); err != nil {
			t.Error(err)
		}
	})
	seen.mu.Lock()
	if got := strings.Join(seen.how, " "); got != "gzip gzip gzip" {
		t.Errorf("answers: %q", got)
	}
	seen.mu.Unlock()
	bomb := &torikumiv1.CreateTicketRequest{Queue: strings.Repeat("x", 1<<20)}
	if _, err := client.CreateTicket(as, bomb); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a bomb: %v", err)
	}
}
