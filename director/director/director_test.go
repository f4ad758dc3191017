package director_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc"

	"torikumi/pkg/contract"
	"torikumi/pkg/rpc"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// subscribe returns the stream of a subscription that stands.
func subscribe(t *testing.T, i *instance) grpc.ServerStreamingClient[torikumiv1.Announcement] {
	t.Helper()
	conn, err := rpc.Dial(i.addrs.GRPC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	// What never comes fails the test, instead of holding it up.
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	stream, err := torikumiv1.NewAnnouncementServiceClient(conn).Subscribe(ctx, &torikumiv1.SubscribeRequest{Subscriber: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Header(); err != nil {
		t.Fatal(err)
	}
	return stream
}

func TestPlayersAreAssignedAndAnnounced(t *testing.T) {
	w := newWorld(t)
	w.addServers(3)
	stream := subscribe(t, start(t, w, nil))
	ids := w.addTickets(2)

	a, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	d := a.GetDetails()
	id := matchID(ids)
	if len(a.GetTicketIds()) != 2 || a.GetConnection() != "192.0.2.1:7001" || d.GetMatchId() != contract.MatchLabelValue(id) ||
		d.GetGameServer() != "default/gs-0001" || d.GetPort() != 7001 || d.GetPorts()["admin"] != 1 || d.GetQueue() != "session" ||
		d.GetRegion() != "eu" || len(d.GetTeams()) != 1 || len(d.GetTeams()[0].GetMembers()) != 2 || d.GetAllocateTime() == nil {
		t.Errorf("announcement = %v", a)
	}
	if n := w.assigned(ids...); n != 2 {
		t.Errorf("%d tickets are assigned", n)
	}
	w.do(func() {
		s := w.server("gs-0001")
		roster, err := contract.DecodeRoster(s.GetAnnotations()[contract.RosterAnnotation])
		if err != nil || roster.GetOpenMatchId() != id || s.GetLabels()[contract.QueueLabel] != "session" {
			t.Errorf("server = %v, %v", s, err)
		}
	})
	w.check(t)
}

func TestManyMatchesAtOnce(t *testing.T) {
	w := newWorld(t)
	w.addServers(100)
	ids := w.addTickets(200)
	start(t, w, nil)
	eventually(t, "all are assigned", func() bool { return w.assigned(ids...) == len(ids) })
	w.check(t)
	if n := w.inState("Allocated"); n != 100 {
		t.Errorf("%d servers are allocated", n)
	}
}

func TestTwoDirectors(t *testing.T) {
	w := newWorld(t)
	w.addServers(60)
	a := start(t, w, nil)
	start(t, w, nil)
	ids := w.addTickets(60)
	eventually(t, "all are assigned", func() bool { return w.assigned(ids...) == len(ids) })
	a.stop()
	if err := a.wait(); err != nil {
		t.Error(err)
	}
	more := w.addTickets(60)
	eventually(t, "the other goes on", func() bool { return w.assigned(more...) == len(more) })
	w.check(t)
	if n := w.inState("Allocated"); n != 60 {
		t.Errorf("%d servers are allocated", n)
	}
}
