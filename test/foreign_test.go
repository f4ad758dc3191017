//go:build unix

package test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"torikumi/local/suite"
	"torikumi/pkg/contract"
	"torikumi/pkg/rpc"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Tickets that another frontend makes, as studios have them: a mode tag, skill
// and latency as double args, the region as string arg. Any two in a region
// are matched within 10 s, whatever their skill, also with a player of ours.
func TestTicketsOfAnotherFrontend(t *testing.T) {
	logs := new(output)
	o := quiet(nil, logs)
	o.Virtual = 20
	o.VirtualSession = patience
	o.PlayToken = "0123456789abcdef"
	s, err := suite.Start(t.Context(), o)
	if err != nil {
		t.Fatalf("%v\n%s", err, logs)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	conn, err := rpc.Dial(s.Addr(suite.Minimatch).GRPC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	om := openmatch.NewFrontendServiceClient(conn)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)

	create := func(region string, skill float64) *openmatch.Ticket {
		made, err := om.CreateTicket(ctx, &openmatch.CreateTicketRequest{Ticket: &openmatch.Ticket{SearchFields: &openmatch.SearchFields{
			Tags: []string{"mode.session"}, StringArgs: map[string]string{"region": region},
			DoubleArgs: map[string]float64{"skill": skill, "latency": 30},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	assigned := func(id string) *torikumiv1.AssignmentDetails {
		watch, err := om.WatchAssignments(ctx, &openmatch.WatchAssignmentsRequest{TicketId: id})
		for err == nil {
			var r *openmatch.WatchAssignmentsResponse
			if r, err = watch.Recv(); err == nil && r.GetAssignment().GetConnection() != "" {
				d := new(torikumiv1.AssignmentDetails)
				if err := contract.Get(r.GetAssignment().GetExtensions(), contract.AssignmentExtension, d); err != nil {
					t.Fatal(err)
				}
				return d
			}
		}
		t.Fatalf("ticket %s: %v", id, err)
		return nil
	}

	// Near each other, far apart, alone in a region, and one who meets a player
	// of our frontend.
	near := []*openmatch.Ticket{create("eu", 1500), create("eu", 1510)}
	far := []*openmatch.Ticket{create("us", 0), create("us", 1e6)}
	alone := create("moon", 1500)
	mixed := create("asia", 1500)
	for _, pair := range [][]*openmatch.Ticket{near, far} {
		a, b := assigned(pair[0].GetId()), assigned(pair[1].GetId())
		if a.GetMatchId() != b.GetMatchId() || a.GetGameServer() != b.GetGameServer() || a.GetRegion() != pair[0].GetSearchFields().GetStringArgs()["region"] {
			t.Errorf("not the same match: %v, %v", a, b)
		}
	}
	if body := playRoute(ctx, t, s.URL()+"/play/asia?skill=1490", o.PlayToken); !strings.Contains(body, `"status":"matched"`) || !strings.Contains(body, `"jwt":"ey`) {
		t.Errorf("a player of ours with one of theirs: %s", body)
	}
	if d := assigned(mixed.GetId()); len(d.GetTeams()) != 2 {
		t.Errorf("one of theirs with a player of ours: %v", d)
	}
	if got, err := om.GetTicket(ctx, &openmatch.GetTicketRequest{TicketId: alone.GetId()}); err != nil || got.GetAssignment() != nil {
		t.Errorf("who is alone in a region got %v, %v", got, err)
	}
}

func playRoute(ctx context.Context, t *testing.T, url, bearer string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
