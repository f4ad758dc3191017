// Package conformance reports whether something hands out game servers as Agones
// does. It sees nothing but the gRPC interfaces and, over UDP, game servers
// that do as they are told, so that the same tests judge miniagones with
// any backend and a cluster.
package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/pkg/agones"
	"torikumi/pkg/eventually"
	allocationpb "torikumi/proto/agones/allocation"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Target is what Run judges. It has to be a fleet of its own, as Run uses
// servers up.
type Target struct {
	// Conn leads to allocation.AllocationService and
	// torikumi.v1.GameServerService.
	Conn grpc.ClientConnInterface
	// Namespace and Fleet are where the servers are; Ready is how many are kept
	// Ready, at least 2. There must be room for twice as many more.
	Namespace, Fleet string
	Ready            int
	// Silent targets have no programs behind their addresses; otherwise there
	// are the servers of Child.
	Silent bool
	// Counted: each server begins with the counter rooms, 0 of 4, and the empty list
	// ids, for 2.
	Counted bool
	// Timeout bounds each wait; 30 s when zero.
	Timeout time.Duration
}

var errNotYet = errors.New("not yet")

// harness is a Target with its clients.
type harness struct {
	target    Target
	allocator allocationpb.AllocationServiceClient
	servers   torikumiv1.GameServerServiceClient
}

func (s *harness) wait(t testing.TB, what string, condition func() bool) {
	t.Helper()
	eventually.Within(t, s.target.Timeout, what, func() error {
		if !condition() {
			return errNotYet
		}
		return nil
	})
}

// list returns the fleet's servers that carry the labels.
func (s *harness) list(t testing.TB, labels map[string]string) []*torikumiv1.GameServerInfo {
	t.Helper()
	match := map[string]string{agones.FleetLabel: s.target.Fleet}
	for k, v := range labels {
		match[k] = v
	}
	resp, err := s.servers.ListGameServers(t.Context(), &torikumiv1.ListGameServersRequest{Namespace: s.target.Namespace, MatchLabels: match})
	if err != nil {
		t.Fatalf("ListGameServers: %v", err)
	}
	return resp.GetGameServers()
}

func (s *harness) get(t testing.TB, name string) *torikumiv1.GameServerInfo {
	t.Helper()
	for _, g := range s.list(t, nil) {
		if g.GetName() == name {
			return g
		}
	}
	return nil
}

func (s *harness) ready(t testing.TB) (ready []*torikumiv1.GameServerInfo) {
	t.Helper()
	for _, g := range s.list(t, nil) {
		if g.GetState() == agones.Ready {
			ready = append(ready, g)
		}
	}
	return ready
}

// full waits until the fleet has its Ready servers.
func (s *harness) full(t testing.TB) {
	t.Helper()
	s.wait(t, fmt.Sprintf("%d servers Ready", s.target.Ready), func() bool { return len(s.ready(t)) >= s.target.Ready })
}

// request asks for a Ready server of the fleet that gets the labels.
func (s *harness) request(labels map[string]string) *allocationpb.AllocationRequest {
	return &allocationpb.AllocationRequest{
		Namespace: s.target.Namespace,
		GameServerSelectors: []*allocationpb.GameServerSelector{
			{MatchLabels: map[string]string{agones.FleetLabel: s.target.Fleet}},
		},
		Metadata: &allocationpb.MetaPatch{Labels: labels},
	}
}

// allocate waits for a Ready server and takes it; it is given back when the
// test ends.
func (s *harness) allocate(t testing.TB, req *allocationpb.AllocationRequest) *allocationpb.AllocationResponse {
	t.Helper()
	var resp *allocationpb.AllocationResponse
	s.wait(t, "a server is allocated", func() bool {
		var err error
		resp, err = s.allocator.Allocate(t.Context(), req)
		if c := status.Code(err); err != nil && c != codes.ResourceExhausted && c != codes.Aborted {
			t.Fatalf("Allocate: %v", err)
		}
		return err == nil
	})
	s.deleteAtEnd(t, resp.GetGameServerName())
	return resp
}

// deleteAtEnd deletes a server when the test ends, and waits until it is gone.
func (s *harness) deleteAtEnd(t testing.TB, name string) {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), s.target.Timeout)
		defer cancel()
		s.wait(t, "server "+name+" is gone", func() bool {
			resp, err := s.servers.ListGameServers(ctx, &torikumiv1.ListGameServersRequest{Namespace: s.target.Namespace})
			if err != nil {
				t.Fatalf("ListGameServers: %v", err)
			}
			for _, g := range resp.GetGameServers() {
				if g.GetName() != name {
					continue
				}
				if g.GetState() != agones.Shutdown {
					_, err := s.servers.DeleteGameServer(ctx, &torikumiv1.DeleteGameServerRequest{Namespace: s.target.Namespace, Name: name, Uid: g.GetUid()})
					if err != nil && status.Code(err) != codes.NotFound {
						t.Fatalf("DeleteGameServer: %v", err)
					}
				}
				return false
			}
			return true
		})
	})
}

// Command sends a command to a server of Child and returns its answer without
// the ACK; an answer of ERROR is an error.
func Command(ctx context.Context, addr, command string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "udp", addr)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := conn.Write([]byte(command)); err != nil {
		return "", err
	}
	buf := make([]byte, 64<<10)
	n, err := conn.Read(buf)
	if err != nil {
		return "", fmt.Errorf("%s: no answer: %w", command, err)
	}
	kind, rest, _ := strings.Cut(string(buf[:n]), " ")
	if kind != "ACK" {
		return "", fmt.Errorf("%s: %s", command, rest)
	}
	return rest, nil
}

// Order sends a command that the server may not live to answer.
func Order(ctx context.Context, addr, command string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "udp", addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_, err = conn.Write([]byte(command))
	return err
}

func address(g *allocationpb.AllocationResponse) string {
	return net.JoinHostPort(g.GetAddress(), strconv.Itoa(int(g.GetPorts()[0].GetPort())))
}

// end has the server end itself, and waits until it is gone.
func (s *harness) end(t testing.TB, g *allocationpb.AllocationResponse, command string) {
	t.Helper()
	if err := Order(t.Context(), address(g), command); err != nil {
		t.Fatalf("%s: %v", g.GetGameServerName(), err)
	}
	s.wait(t, "the server is gone after "+command, func() bool { return s.get(t, g.GetGameServerName()) == nil })
}

func (s *harness) command(t testing.TB, g *allocationpb.AllocationResponse, command string) string {
	t.Helper()
	answer, err := Command(t.Context(), address(g), command)
	if err != nil {
		t.Fatalf("%s: %v", g.GetGameServerName(), err)
	}
	return answer
}

// watched returns what the server has seen of itself so far.
func (s *harness) watched(t testing.TB, g *allocationpb.AllocationResponse) []Seen {
	t.Helper()
	var seen []Seen
	if err := json.Unmarshal([]byte(s.command(t, g, "WATCH")), &seen); err != nil {
		t.Fatalf("WATCH: %v", err)
	}
	return seen
}
