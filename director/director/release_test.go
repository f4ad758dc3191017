package director_test

import (
	"cmp"
	"context"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/pkg/eventually"
)

// TestRefused: what can never work undoes everything at once.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		name, method string
		noAddress    bool
		deallocates  bool
	}{
		{name: "allocation", method: "Allocate"},
		{name: "assignment", method: "AssignTickets", deallocates: true},
		{name: "server without address", noAddress: true, deallocates: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			h.addServers(1)
			h.noAddress = c.noAddress
			h.hook = failing(c.method, "before", 1, status.Error(codes.PermissionDenied, "no"))
			ids := h.addTickets(2)
			start(t, h, nil)
			eventually.True(t, "tickets are released", func() bool { return h.releases() > 0 })
			h.do(func() {
				h.noAddress = false
				if got := len(h.deleted) > 0; got != c.deallocates {
					t.Errorf("deleted servers = %v before the release", h.deleted)
				}
			})
			eventually.True(t, "assigned", func() bool { return h.assigned(ids...) == 2 })
			h.check(t)
		})
	}
}

// TestBackBeforeTheAnswer: released tickets come in their next match before the
// release has been answered.
func TestBackBeforeTheAnswer(t *testing.T) {
	h := newHarness(t)
	answer := make(chan struct{})
	refuse := failing("Allocate", "before", 1, status.Error(codes.PermissionDenied, "no"))
	h.hook = func(ctx context.Context, method, phase string) error {
		if method+phase == "ReleaseTicketsafter" {
			<-answer
		}
		return refuse(ctx, method, phase)
	}
	h.addServers(1)
	ids := h.addTickets(2)
	i := start(t, h, nil)
	release := sync.OnceFunc(func() { close(answer) })
	defer release()
	eventually.True(t, "the match is here again", func() bool {
		return metric(t, i, "torikumi_director_in_flight_matches") == 2 || h.assigned(ids...) == 2 || // the answer was given up meanwhile
			metric(t, i, `torikumi_director_matches_total{outcome="invalid",queue="session"}`) > 0
	})
	release()
	eventually.True(t, "assigned", func() bool { return h.assigned(ids...) == 2 })
	h.check(t)
}

// TestLostAnswerToARelease: another try could take the tickets away from the
// match in which they are by then, another director's perhaps.
func TestLostAnswerToARelease(t *testing.T) {
	h := newHarness(t)
	refuse := failing("Allocate", "before", 1, status.Error(codes.PermissionDenied, "no"))
	lose := failing("ReleaseTickets", "after", 1, lost)
	h.hook = func(ctx context.Context, method, phase string) error {
		return cmp.Or(refuse(ctx, method, phase), lose(ctx, method, phase))
	}
	h.addServers(1)
	ids := h.addTickets(2)
	start(t, h, nil)
	eventually.True(t, "assigned", func() bool { return h.assigned(ids...) == 2 })
	if n := h.releases(); n != 1 {
		t.Errorf("tickets were released %d times", n)
	}
	h.check(t)
}
