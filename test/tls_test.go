//go:build unix

package test

import (
	"context"
	"slices"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"torikumi/local/demo"
	"torikumi/local/suite"
	"torikumi/pkg/rpc"
	"torikumi/pkg/tlstest"
)

// TestTLS plays the whole path over TLS, mutual between all but Open Match's clients, and
// sees that nobody else is served.
func TestTLS(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ca := tlstest.NewAuthority(t)
	cert, key := ca.Issue(t, "127.0.0.1")
	server := []string{"--grpc-cert=" + cert, "--grpc-key=" + key}
	mutual := append(slices.Clone(server), "--grpc-client-ca="+ca.File)
	peer := []string{"--peer-ca=" + ca.File, "--peer-cert=" + cert, "--peer-key=" + key}
	openMatch := "--open-match-ca=" + ca.File
	l := &launcher{extra: map[string][]string{
		suite.Minimatch:     append(slices.Clone(server), peer...),
		suite.Evaluator:     mutual,
		suite.MatchFunction: append(slices.Clone(mutual), openMatch),
		suite.Director:      append(slices.Clone(mutual), openMatch),
		suite.Frontend:      append(slices.Clone(peer), openMatch),
	}}
	strangers := 0
	l.started = func(p *process) {
		if p.name == suite.Frontend {
			return // players call it
		}
		strangers++
		refuses(t, p.name, func() (*grpc.ClientConn, error) { return rpc.Dial(p.Addrs().GRPC) })
		if p.name != suite.Minimatch {
			refuses(t, p.name, func() (*grpc.ClientConn, error) { return rpc.DialTLS(p.Addrs().GRPC, rpc.TLS{CAFile: ca.File}) })
		}
	}
	play(t, demo.Options{Players: 9, Seed: 5, Suite: quiet(l, new(output))})
	if strangers != 4 {
		t.Errorf("%d services were called by strangers", strangers)
	}
}

func refuses(t *testing.T, name string, dial func() (*grpc.ClientConn, error)) {
	t.Helper()
	conn, err := dial()
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("%s serves a stranger: %v", name, err)
	}
}
