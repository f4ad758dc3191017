package test_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"torikumi/director/director"
	"torikumi/pkg/eventually"
	"torikumi/pkg/porttest"
	"torikumi/proto/openmatch"
)

// TestClusterAway: the preferred cluster is away from the start, and matches get
// their servers in the other one.
func TestClusterAway(t *testing.T) {
	f, o := startFleet(t), startOpenMatch(t)
	access := f.director(t)
	kubeconfig := f.As(t, "torikumi", "director")
	content, err := os.ReadFile(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	away := filepath.Join(t.TempDir(), "away.kubeconfig")
	text := strings.ReplaceAll(string(content), access.Host, "https://"+porttest.Hold(t).String())
	if text == string(content) {
		t.Fatalf("%s is not in the kubeconfig", access.Host)
	}
	if err := os.WriteFile(away, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	const matches = 5
	for n := range matches {
		f.add(t, ready(f.namespace, fmt.Sprintf("far-%d", n)))
	}
	launch(t, program.Run, func(c *director.Config) {
		c.LogLevel = slog.LevelError + 1
		c.GRPCListen, c.HTTPListen = "127.0.0.1:0", "127.0.0.1:0"
		c.OpenMatch, c.Frontend, c.MatchFunction = o.addr, o.addr, o.function
		c.Allocator, c.GameServers, c.Kubeconfig, c.Namespace = []string{"kubernetes"}, "kubernetes", []string{away, kubeconfig}, f.namespace
	})
	for _, id := range o.create(t, 2*matches) {
		eventually.NoError(t, "the ticket is assigned", func() error {
			ticket, err := o.frontend.GetTicket(t.Context(), &openmatch.GetTicketRequest{TicketId: id})
			if err == nil && ticket.GetAssignment() == nil {
				err = fmt.Errorf("not assigned")
			}
			return err
		})
	}
}
