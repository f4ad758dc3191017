package test_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"torikumi/director/director"
	"torikumi/director/internal/match"
	"torikumi/director/internal/servers"
	"torikumi/director/internal/servers/kubernetes"
	v1 "torikumi/miniagones/kubernetes/api/v1"
	"torikumi/pkg/agones"
	"torikumi/pkg/eventually"
	"torikumi/pkg/rpc"
	"torikumi/pkg/service"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// ways are those to an allocator.
var ways = []string{"service", "kubernetes"}

// TestDrained: as many matches as there are game servers get one each.
func TestDrained(t *testing.T) {
	f := startFleet(t)
	for _, way := range ways {
		t.Run(way, func(t *testing.T) { f.drain(t, way, 40) })
	}
}

// BenchmarkDrained compares the director with calls of the allocator alone, of as
// many at a time. The rates are those at which game servers become Allocated.
func BenchmarkDrained(b *testing.B) {
	f := startFleet(b)
	for _, way := range ways {
		b.Run(way, func(b *testing.B) {
			const fleet = 200
			var bare, whole float64
			for b.Loop() {
				bare += f.drainBare(b, way, fleet)
				whole += f.drain(b, way, fleet)
			}
			n := float64(b.N)
			b.ReportMetric(bare/n, "bare/s")
			b.ReportMetric(whole/n, "director/s")
			b.ReportMetric(100*whole/bare, "%")
		})
	}
}

// drain gives all of n game servers to n matches, and returns how many became
// Allocated in a second.
func (f *fleet) drain(t testing.TB, way string, n int) float64 {
	t.Helper()
	f.fill(t, n)
	o := startOpenMatch(t)
	ids := o.create(t, 2*n)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	kubeconfig, files := f.As(t, "torikumi", "director"), f.allocatorFiles(t)
	ended := make(chan error, 1)
	cfg := settings(t, func(c *director.Config) {
		c.LogLevel = slog.LevelError
		c.GRPCListen, c.HTTPListen = "127.0.0.1:0", "127.0.0.1:0"
		c.OpenMatch, c.Frontend, c.MatchFunction = o.addr, o.addr, o.function
		c.GameServers, c.Kubeconfig, c.Namespace = "kubernetes", []string{kubeconfig}, f.namespace
		c.Allocator = []string{"kubernetes"}
		if way == "service" {
			c.Allocator = []string{f.allocator}
			c.AllocatorCA, c.AllocatorCert, c.AllocatorKey, c.AllocatorServerName = files.CAFile, files.CertFile, files.KeyFile, files.ServerName
		}
	})
	started := make(chan service.Addrs, 1)
	go func() { ended <- program.Run(ctx, cfg, func(a service.Addrs) { started <- a }) }()
	select {
	case a := <-started:
		hear(t, a.GRPC, n)
	case err := <-ended:
		t.Fatal(err)
	}
	players := make(map[string]int)
	for _, id := range ids {
		ticket, err := o.frontend.GetTicket(t.Context(), &openmatch.GetTicketRequest{TicketId: id})
		if err != nil {
			t.Fatal(err)
		}
		players[ticket.GetAssignment().GetConnection()]++
	}
	if len(players) != n {
		t.Errorf("%d game servers have players, of %d", len(players), n)
	}
	for at, p := range players {
		if p != 2 {
			t.Errorf("%d players are sent to %s", p, at)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	return f.allocationRate(t)
}

// hear waits as a frontend does until a director has announced n matches.
func hear(t testing.TB, addr string, n int) {
	t.Helper()
	conn, err := rpc.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	stream, err := torikumiv1.NewAnnouncementServiceClient(conn).Subscribe(ctx, new(torikumiv1.SubscribeRequest), grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
	for heard := 0; heard < n; {
		a, err := stream.Recv()
		if err != nil {
			t.Fatalf("%d of %d matches were announced: %v", heard, n, err)
		}
		if a.GetConnection() != "" {
			heard++
		}
	}
}

// drainBare allocates n game servers by calls of the allocator alone, and returns
// how many became Allocated in a second.
func (f *fleet) drainBare(t testing.TB, way string, n int) float64 {
	t.Helper()
	f.fill(t, n)
	allocator := f.connect(t, way)
	work := make(chan int)
	var workers sync.WaitGroup
	for range 64 { // the director's --max-in-flight
		workers.Go(func() {
			for i := range work {
				id := fmt.Sprintf("bare:%d", i)
				m, err := match.Parse("session", &openmatch.Match{MatchId: id, Tickets: []*openmatch.Ticket{{Id: id + "a"}, {Id: id + "b"}}})
				if err != nil {
					t.Error(err)
					continue
				}
				eventually.NoError(t, "allocated", func() error {
					_, _, err := allocator.Allocate(t.Context(), m, servers.Selector{Namespace: f.namespace})
					return err
				})
			}
		})
	}
	for i := range n {
		work <- i
	}
	close(work)
	workers.Wait()
	return f.allocationRate(t)
}

// connect connects to an allocator.
func (f *fleet) connect(t testing.TB, way string) servers.Allocator {
	t.Helper()
	if way == "kubernetes" {
		a, err := kubernetes.NewAllocator(f.director(t))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	return servers.NewAgones(f.dialAllocator(t, f.allocator))
}

// fill makes n game servers in place of all that there are.
func (f *fleet) fill(t testing.TB, n int) {
	t.Helper()
	if err := f.Admin.DeleteAllOf(t.Context(), new(v1.GameServer), client.InNamespace(f.namespace)); err != nil {
		t.Fatal(err)
	}
	eventually.Within(t, time.Minute, "the game servers before are gone", func() error {
		left, err := f.list(t)
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("%d are left", len(left))
		}
		return err
	})
	f.filled++
	var making sync.WaitGroup
	for w := range 8 {
		making.Go(func() {
			for i := w; i < n; i += 8 {
				s := ready(f.namespace, fmt.Sprintf("drain-%d-%d", f.filled, i))
				s.Ports[0].Number = int32(7000 + i)
				f.add(t, s)
			}
		})
	}
	making.Wait()
}

func (f *fleet) list(t testing.TB) ([]v1.GameServer, error) {
	var all v1.GameServerList
	err := f.Admin.List(t.Context(), &all, client.InNamespace(f.namespace))
	return all.Items, err
}

// allocationRate is how many game servers became Allocated in a second, by the
// allocator's clock.
func (f *fleet) allocationRate(t testing.TB) float64 {
	t.Helper()
	all, err := f.list(t)
	if err != nil {
		t.Fatal(err)
	}
	var first, last time.Time
	for _, gs := range all {
		at, err := time.Parse(time.RFC3339Nano, gs.Annotations[agones.LastAllocatedAnnotation])
		if err != nil || gs.Status.State != agones.Allocated {
			t.Fatalf("%s is %s, allocated at: %v", gs.Name, gs.Status.State, err)
		}
		if first.IsZero() || at.Before(first) {
			first = at
		}
		if at.After(last) {
			last = at
		}
	}
	return float64(len(all)-1) / last.Sub(first).Seconds()
}
