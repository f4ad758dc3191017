package place_test

import (
	"context"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/director/internal/place"
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
		if err := place.ReleaseTickets(t.Context(), backend, []string{"a"}); err != nil || backend.left != -1 {
			t.Errorf("%v, %d left", err, backend.left)
		}
	})
}
