package placement_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/director/internal/placement"
	"torikumi/proto/openmatch"
)

// unreachable is an Open Match that the first calls do not reach.
type unreachable struct {
	openmatch.BackendServiceClient
	left int
}

func (u *unreachable) ReleaseTickets(context.Context, *openmatch.ReleaseTicketsRequest, ...grpc.CallOption) (*openmatch.ReleaseTicketsResponse, error) {
	if u.left--; u.left >= 0 {
		return nil, status.Error(codes.Unavailable, "connection refused")
	}
	return new(openmatch.ReleaseTicketsResponse), nil
}

// TestReleaseThatNeverLeft is made again.
func TestReleaseThatNeverLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := &unreachable{left: 5}
		p := placement.New(placement.Options{Backend: backend, Registry: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler)})
		if err := p.Release(t.Context(), []string{"a"}, placement.CauseTimeout); err != nil || backend.left != -1 {
			t.Errorf("%v, %d left", err, backend.left)
		}
	})
}
