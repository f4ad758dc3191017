package announce_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"torikumi/director/internal/announce"
	"torikumi/director/internal/metrics"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type rig struct {
	*announce.Broadcaster
	metrics *metrics.Metrics
	client  torikumiv1.AnnouncementServiceClient
}

func newRig(t *testing.T, buffer int) *rig {
	t.Helper()
	m := metrics.New(prometheus.NewRegistry())
	r := &rig{Broadcaster: announce.New(buffer, m), metrics: m}
	lis := bufconn.Listen(1 << 16)
	srv := grpc.NewServer()
	torikumiv1.RegisterAnnouncementServiceServer(srv, r.Broadcaster)
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(lis) }()
	conn, err := grpc.NewClient("passthrough:///x", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(); srv.Stop(); <-done })
	r.client = torikumiv1.NewAnnouncementServiceClient(conn)
	return r
}

func (r *rig) subscribe(ctx context.Context, t *testing.T) grpc.ServerStreamingClient[torikumiv1.Announcement] {
	t.Helper()
	stream, err := r.client.Subscribe(ctx, new(torikumiv1.SubscribeRequest))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Header(); err != nil {
		t.Fatal(err)
	}
	return stream
}

func announcement(i int) *torikumiv1.Announcement {
	return &torikumiv1.Announcement{TicketIds: []string{fmt.Sprint(i)}, Connection: strings.Repeat("x", 32<<10)}
}

// TestHeadersMeanSubscribed: what is published after the headers arrives, in
// order, at everybody.
func TestHeadersMeanSubscribed(t *testing.T) {
	r := newRig(t, 100)
	a, b := r.subscribe(t.Context(), t), r.subscribe(t.Context(), t)
	for i := range 50 {
		r.Publish(announcement(i))
	}
	for _, s := range []grpc.ServerStreamingClient[torikumiv1.Announcement]{a, b} {
		for i := range 50 {
			got, err := s.Recv()
			if err != nil || got.GetTicketIds()[0] != fmt.Sprint(i) {
				t.Fatalf("announcement %d = %v, %v", i, got.GetTicketIds(), err)
			}
		}
	}
}

// TestSlowSubscriberIsCutOff: publishing never waits for it, others hear
// everything, and it is told.
func TestSlowSubscriberIsCutOff(t *testing.T) {
	r := newRig(t, 4)
	slow, quick := r.subscribe(t.Context(), t), r.subscribe(t.Context(), t)
	n := 0
	for ; testutil.ToFloat64(r.metrics.CutOff) == 0; n++ {
		r.Publish(announcement(n))
		if got, err := quick.Recv(); err != nil || got.GetTicketIds()[0] != fmt.Sprint(n) {
			t.Fatalf("announcement %d = %v, %v", n, got.GetTicketIds(), err)
		}
	}
	heard := 0
	_, err := slow.Recv()
	for ; err == nil; _, err = slow.Recv() {
		heard++
	}
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("the slow one hears %v", err)
	}
	if heard == 0 || heard >= n {
		t.Errorf("the slow one has heard %d of %d", heard, n)
	}
	if got := testutil.ToFloat64(r.metrics.Subscribers); got != 1 {
		t.Errorf("%v subscribers are left", got)
	}
	again := r.subscribe(t.Context(), t)
	r.Publish(announcement(n))
	if got, err := again.Recv(); err != nil || got.GetTicketIds()[0] != fmt.Sprint(n) {
		t.Errorf("after subscribing again: %v, %v", got.GetTicketIds(), err)
	}
}

func TestSubscriberLeaves(t *testing.T) {
	r := newRig(t, 4)
	ctx, leave := context.WithCancel(t.Context())
	r.subscribe(ctx, t)
	leave()
	limit := time.After(20 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for testutil.ToFloat64(r.metrics.Subscribers) != 0 {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("the subscription is still there")
		}
	}
	r.Publish(announcement(0))
	if n := testutil.ToFloat64(r.metrics.CutOff); n != 0 {
		t.Errorf("%v were cut off", n)
	}
}

func TestClose(t *testing.T) {
	r := newRig(t, 4)
	s := r.subscribe(t.Context(), t)
	r.Publish(announcement(7))
	r.Close()
	r.Close()
	r.Publish(announcement(8))
	if got, err := s.Recv(); err != nil || got.GetTicketIds()[0] != "7" {
		t.Errorf("last announcement = %v, %v", got.GetTicketIds(), err)
	}
	if _, err := s.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("end = %v", err)
	}
	late, err := r.client.Subscribe(t.Context(), new(torikumiv1.SubscribeRequest))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := late.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("subscription after the end = %v", err)
	}
}
