package test_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"torikumi/director/director"
	"torikumi/director/internal/reclaim"
	"torikumi/director/internal/servers"
	v1 "torikumi/miniagones/kubernetes/api/v1"
	"torikumi/pkg/agones"
	"torikumi/pkg/contract"
	"torikumi/pkg/eventually"
	"torikumi/proto/openmatch"
)

// TestGivenBack kills a director between the allocation of a server and the
// assignment of its tickets. Another one gives the server back, but not one of the
// same match to which somebody has come; and it places matches.
func TestGivenBack(t *testing.T) {
	f, o := startFleet(t), startOpenMatch(t)
	f.director(t) // with its rights in place
	kubeconfig := f.As(t, "torikumi", "director")
	f.add(t, ready(f.namespace, "orphan"))
	ids := o.create(t, 2)
	assigning := make(chan struct{}, 1)
	child := killable(t, "--log-level=ERROR", "--grpc-listen=127.0.0.1:0", "--http-listen=127.0.0.1:0",
		"--open-match="+serveDeaf(t, o, func() {
			select {
			case assigning <- struct{}{}:
			default:
			}
		}), "--open-match-frontend="+o.addr, "--matchfunction="+o.function,
		"--allocator=kubernetes", "--gameservers=kubernetes", "--kubeconfig="+kubeconfig, "--namespace="+f.namespace, "--match-timeout=20s")
	select {
	case <-assigning:
	case <-time.After(time.Minute):
		t.Fatal("the director never assigned a match")
	}
	child()

	orphan := f.get(t, "orphan")
	if orphan.Status.State != agones.Allocated || orphan.Labels[contract.MatchLabel] == "" {
		t.Fatalf("the server is %s, with %v", orphan.Status.State, orphan.Labels)
	}
	// The stamp gives its director 20 s; one that would have had 1 s is as dead.
	if err := f.patch(t.Context(), "orphan", `{"metadata":{"annotations":{"`+contract.PlacingAnnotation+`":"1s test"}}}`); err != nil {
		t.Fatal(err)
	}
	visited := ready(f.namespace, "visited")
	visited.State, visited.Labels, visited.Annotations = agones.Allocated, orphan.Labels, maps.Clone(orphan.Annotations)
	visited.Annotations[contract.PlacingAnnotation] = "1s test"
	visited.Annotations[contract.AdmittedAnnotation] = orphan.Labels[contract.MatchLabel]
	f.add(t, visited)

	launch(t, program.Run, func(c *director.Config) {
		c.LogLevel = slog.LevelError
		c.GRPCListen, c.HTTPListen = "127.0.0.1:0", "127.0.0.1:0"
		c.OpenMatch, c.Frontend, c.MatchFunction = o.addr, o.addr, o.function
		c.Allocator, c.GameServers, c.Kubeconfig, c.Namespace = []string{"kubernetes"}, "kubernetes", []string{kubeconfig}, f.namespace
		c.MatchTimeout = 10 * time.Second // enough for the next match, on a busy machine
	})
	eventually.Within(t, reclaim.Settle+time.Minute, "the server is given back", func() error {
		err := f.Admin.Get(t.Context(), client.ObjectKeyFromObject(orphan), new(v1.GameServer))
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("it is there: %w", err)
	})
	f.get(t, "visited")
	for _, id := range ids {
		if ticket, err := o.frontend.GetTicket(t.Context(), &openmatch.GetTicketRequest{TicketId: id}); err != nil || ticket.GetAssignment() != nil {
			t.Errorf("ticket %s: %v, %v", id, ticket, err)
		}
	}

	f.add(t, ready(f.namespace, "next"))
	more := o.create(t, 2)
	eventually.NoError(t, "the other director places a match", func() error {
		ticket, err := o.frontend.GetTicket(t.Context(), &openmatch.GetTicketRequest{TicketId: more[0]})
		if err == nil && ticket.GetAssignment().GetConnection() != "192.0.2.1:7002" {
			err = fmt.Errorf("assigned %v", ticket.GetAssignment())
		}
		return err
	})
	f.get(t, "visited")
}

func ready(namespace, name string) servers.Server {
	return servers.Server{
		Namespace: namespace, Name: name, State: agones.Ready, Address: "192.0.2.1", Ports: []servers.Port{{Name: "default", Number: 7002}},
		Labels: map[string]string{contract.AllocatableLabel: "true"},
	}
}

func (f *fleet) get(t testing.TB, name string) *v1.GameServer {
	t.Helper()
	gs := f.object(name)
	if err := f.Admin.Get(context.Background(), client.ObjectKeyFromObject(gs), gs); err != nil {
		t.Fatal(err)
	}
	return gs
}

// killable runs a director as a process of its own, and returns what kills it.
func killable(t *testing.T, args ...string) (kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), directorVariable+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	}
	t.Cleanup(kill)
	return kill
}
