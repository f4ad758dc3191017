package announce_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"torikumi/director/internal/announce"
	"torikumi/pkg/eventually"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type harness struct {
	*announce.Broadcaster
	registry *prometheus.Registry
	client   torikumiv1.AnnouncementServiceClient
}

func newHarness(t *testing.T, buffer int) *harness {
	t.Helper()
	registry := prometheus.NewRegistry()
	h := &harness{Broadcaster: announce.New(buffer, registry), registry: registry}
	lis := bufconn.Listen(1 << 16)
	srv := grpc.NewServer()
	torikumiv1.RegisterAnnouncementServiceServer(srv, h.Broadcaster)
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(lis) }()
	conn, err := grpc.NewClient("passthrough:///x", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(); srv.Stop(); <-done })
	h.client = torikumiv1.NewAnnouncementServiceClient(conn)
	return h
}

type stream = grpc.ServerStreamingClient[torikumiv1.Announcement]

func (h *harness) subscribe(ctx context.Context, t *testing.T) stream { return h.resume(ctx, t, "") }

// resume subscribes after a position.
func (h *harness) resume(ctx context.Context, t *testing.T, after string) stream {
	t.Helper()
	stream, err := h.client.Subscribe(ctx, &torikumiv1.SubscribeRequest{After: after})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Header(); err != nil {
		t.Fatal(err)
	}
	return stream
}

// metric reads one of the broadcaster's metrics.
func (h *harness) metric(t *testing.T, name string) float64 {
	t.Helper()
	families, err := h.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "torikumi_director_announcement_"+name {
			m := f.GetMetric()[0]
			return m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	t.Fatalf("no metric %q", name)
	return 0
}

func announcement(i int) *torikumiv1.Announcement {
	return &torikumiv1.Announcement{TicketIds: []string{fmt.Sprint(i)}, Connection: strings.Repeat("x", 32<<10)}
}

// TestHeadersMeanSubscribed: what is published after the headers arrives, in
// order, at everybody.
func TestHeadersMeanSubscribed(t *testing.T) {
	h := newHarness(t, 100)
	a, b := h.subscribe(t.Context(), t), h.subscribe(t.Context(), t)
	for i := range 50 {
		h.Publish(announcement(i))
	}
	for _, s := range []stream{a, b} {
		expect(t, s, 0, 50)
	}
}

// expect receives the announcements of numbers, and returns the position of the
// last one.
func expect(t *testing.T, s stream, from, to int) (position string) {
	t.Helper()
	for i := from; i < to; i++ {
		got, err := s.Recv()
		if err != nil || got.GetTicketIds()[0] != fmt.Sprint(i) {
			t.Fatalf("announcement %d = %v, %v", i, got.GetTicketIds(), err)
		}
		position = got.GetPosition()
	}
	return position
}

// TestMissed: who subscribes hears what it has missed, as far as that is remembered.
func TestMissed(t *testing.T) {
	h := newHarness(t, 10)
	first := h.subscribe(t.Context(), t)
	h.Publish(announcement(0))
	h.Publish(announcement(1))
	position := expect(t, first, 0, 2)
	expect(t, h.subscribe(t.Context(), t), 0, 2) // has heard nothing yet
	nothing := h.resume(t.Context(), t, position)
	for i := 2; i < 6; i++ {
		h.Publish(announcement(i))
	}
	expect(t, nothing, 2, 6)
	expect(t, h.resume(t.Context(), t, position), 2, 6)
	for _, other := range []string{"", "-", "x", "x-1", position + "0", position + "x", newHarness(t, 1).instance(t) + "-1"} {
		expect(t, h.resume(t.Context(), t, other), 0, 6)
	}
	for i := 6; i < 15; i++ {
		h.Publish(announcement(i))
	}
	expect(t, h.resume(t.Context(), t, position), 5, 15) // the last ten
}

// instance is the first part of the broadcaster's positions.
func (h *harness) instance(t *testing.T) string {
	t.Helper()
	h.Publish(announcement(0))
	got, err := h.subscribe(t.Context(), t).Recv()
	if err != nil {
		t.Fatal(err)
	}
	instance, _, _ := strings.Cut(got.GetPosition(), "-")
	return instance
}

// TestSlowSubscriberIsCutOff: publishing never waits for it, others hear
// everything, and it is told.
func TestSlowSubscriberIsCutOff(t *testing.T) {
	h := newHarness(t, 4)
	slow, quick := h.subscribe(t.Context(), t), h.subscribe(t.Context(), t)
	n := 0
	for ; h.metric(t, "cut_offs_total") == 0; n++ {
		h.Publish(announcement(n))
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
	if got := h.metric(t, "subscribers"); got != 1 {
		t.Errorf("%v subscribers are left", got)
	}
	again := h.subscribe(t.Context(), t)
	h.Publish(announcement(n))
	expect(t, again, n-4, n+1) // the last four, and what came then
}

func TestSubscriberLeaves(t *testing.T) {
	h := newHarness(t, 4)
	ctx, leave := context.WithCancel(t.Context())
	h.subscribe(ctx, t)
	leave()
	eventually.True(t, "the subscription is over", func() bool { return h.metric(t, "subscribers") == 0 })
	h.Publish(announcement(0))
	if n := h.metric(t, "cut_offs_total"); n != 0 {
		t.Errorf("%v were cut off", n)
	}
}

func TestClose(t *testing.T) {
	h := newHarness(t, 4)
	s := h.subscribe(t.Context(), t)
	h.Publish(announcement(7))
	h.Close()
	h.Close()
	h.Publish(announcement(8))
	if got, err := s.Recv(); err != nil || got.GetTicketIds()[0] != "7" {
		t.Errorf("last announcement = %v, %v", got.GetTicketIds(), err)
	}
	if _, err := s.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("end = %v", err)
	}
	late, err := h.client.Subscribe(t.Context(), new(torikumiv1.SubscribeRequest))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := late.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("subscription after the end = %v", err)
	}
}
