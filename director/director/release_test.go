package director_test

import (
	"cmp"
	"context"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestRefused: what can never work gives everything back at once.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		name, method string
		noAddress    bool
		givesBack    bool
	}{
		{name: "allocation", method: "Allocate"},
		{name: "assignment", method: "AssignTickets", givesBack: true},
		{name: "server without address", noAddress: true, givesBack: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.addServers(1)
			w.noAddress = c.noAddress
			w.hook = failing(c.method, "before", 1, status.Error(codes.PermissionDenied, "no"))
			ids := w.addTickets(2)
			start(t, w, nil)
			eventually(t, "tickets are released", func() bool { return w.releases() > 0 })
			w.do(func() {
				w.noAddress = false
				if got := len(w.deleted) > 0; got != c.givesBack {
					t.Errorf("deleted servers = %v before the release", w.deleted)
				}
			})
			eventually(t, "assigned", func() bool { return w.assigned(ids...) == 2 })
			w.check(t)
		})
	}
}

// TestBackBeforeTheAnswer: released tickets come in their next match before the
// release has been answered.
func TestBackBeforeTheAnswer(t *testing.T) {
	w := newWorld(t)
	answer := make(chan struct{})
	refuse := failing("Allocate", "before", 1, status.Error(codes.PermissionDenied, "no"))
	w.hook = func(ctx context.Context, method, phase string) error {
		if method+phase == "ReleaseTicketsafter" {
			<-answer
		}
		return refuse(ctx, method, phase)
	}
	w.addServers(1)
	ids := w.addTickets(2)
	i := start(t, w, nil)
	release := sync.OnceFunc(func() { close(answer) })
	defer release()
	eventually(t, "the match is here again", func() bool {
		return metric(t, i, "torikumi_director_in_flight_matches") == 2 ||
			metric(t, i, `torikumi_director_matches_total{outcome="invalid",queue="session"}`) > 0
	})
	release()
	eventually(t, "assigned", func() bool { return w.assigned(ids...) == 2 })
	w.check(t)
}

// TestLostAnswerToARelease: another try could take the tickets away from the
// match in which they are by then, another director's perhaps.
func TestLostAnswerToARelease(t *testing.T) {
	w := newWorld(t)
	refuse := failing("Allocate", "before", 1, status.Error(codes.PermissionDenied, "no"))
	lose := failing("ReleaseTickets", "after", 1, lost)
	w.hook = func(ctx context.Context, method, phase string) error {
		return cmp.Or(refuse(ctx, method, phase), lose(ctx, method, phase))
	}
	w.addServers(1)
	ids := w.addTickets(2)
	start(t, w, nil)
	eventually(t, "assigned", func() bool { return w.assigned(ids...) == 2 })
	if n := w.releases(); n != 1 {
		t.Errorf("tickets were released %d times", n)
	}
	w.check(t)
}
