package director_test

import (
	"context"
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"torikumi/director/director"
	"torikumi/pkg/contract"
	"torikumi/pkg/eventually"
	"torikumi/pkg/porttest"
	"torikumi/pkg/tlstest"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

const duelRules = `{"name": "duel", "ruleLanguageVersion": "1.0", "teams": [{"name": "red", "minPlayers": 1, "maxPlayers": 2}]}`

// fillingQueues writes a queues.yaml whose queue "session" has backfill.
func fillingQueues(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"queues.yaml": "queues: [{name: session, rule_set: duel.json, backfill: {automatic: true, reserve: 20s}}]\n", "duel.json": duelRules,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "queues.yaml")
}

// startWithGates starts a director that serves gates, over TLS by an authority.
func startWithGates(t *testing.T, h *harness) (addr string, ours *tlstest.Authority, certFile, keyFile string) {
	t.Helper()
	ours = tlstest.NewAuthority(t)
	certFile, keyFile = ours.Issue(t, "127.0.0.1")
	addr = porttest.Hold(t).String()
	queues := fillingQueues(t)
	start(t, h, func(c *director.Config) {
		c.Queues, c.GateListen, c.GateCert, c.GateKey = queues, addr, certFile, keyFile
	})
	return addr, ours, certFile, keyFile
}

// dialGates calls a director as a gate does.
func dialGates(t *testing.T, addr string, believed *tlstest.Authority) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: believed.Pool(), MinVersion: tls.VersionTLS12})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func withToken(ctx context.Context, token string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

// TestGates: a match that was placed is filled up when its gate asks, on the port for
// gates, where nothing else is served.
func TestGates(t *testing.T) {
	h := newHarness(t)
	h.addServers(1)
	tickets := h.addTickets(2)
	addr, ours, _, _ := startWithGates(t, h)
	conn := dialGates(t, addr, ours)
	client := torikumiv1.NewBackfillServiceClient(conn)
	eventually.True(t, "assigned", func() bool { return h.assigned(tickets...) == 2 })
	var match string
	h.do(func() {
		s := h.servers["gs-0001"]
		match = s.GetLabels()[contract.MatchLabel]
		roster, err := contract.DecodeRoster(s.GetAnnotations()[contract.RosterAnnotation])
		if err != nil || !roster.GetBackfill().GetAutomatic() || s.GetAnnotations()[contract.PlayersAnnotation] == "" {
			t.Errorf("stamped %v, %v", s.GetAnnotations(), err)
		}
	})
	req := &torikumiv1.FillRequest{MatchId: match, Players: tickets[:1]}
	if _, err := client.Fill(t.Context(), req); status.Code(err) != codes.Unauthenticated {
		t.Errorf("without a token: %v", err)
	}
	if _, err := client.Fill(withToken(t.Context(), "nobody"), req); status.Code(err) != codes.Unauthenticated {
		t.Errorf("with a wrong token: %v", err)
	}
	h.do(func() { // the team of those whom the match function forgot has no name
		s := h.servers["gs-0001"]
		s.Annotations[contract.RosterAnnotation] = strings.Replace(s.GetAnnotations()[contract.RosterAnnotation], `"members":`, `"name":"red","members":`, 1)
	})
	resp, err := client.Fill(withToken(t.Context(), "token of gs-0001"), req)
	if err != nil || resp.GetState() != torikumiv1.FillResponse_SEARCHING || resp.GetOpenPlaces() != 1 {
		t.Fatalf("%v, %v", resp, err)
	}
	h.do(func() {
		if id := h.servers["gs-0001"].GetAnnotations()[contract.BackfillAnnotation]; id == "" || h.backfills[id] == nil {
			t.Errorf("%q is searched for, of %v", id, h.backfills)
		}
	})

	large := &torikumiv1.FillRequest{MatchId: strings.Repeat("x", 100<<10)}
	if _, err := client.Fill(withToken(t.Context(), "token of gs-0001"), large); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a large call: %v", err)
	}
	stream, err := torikumiv1.NewAnnouncementServiceClient(conn).Subscribe(t.Context(), &torikumiv1.SubscribeRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("announcements on the port for gates: %v", err)
	}
}

// TestGateCertificate: another certificate is taken up without a restart.
func TestGateCertificate(t *testing.T) {
	h := newHarness(t)
	addr, ours, certFile, keyFile := startWithGates(t, h)
	call := func(believed *tlstest.Authority) error {
		_, err := torikumiv1.NewBackfillServiceClient(dialGates(t, addr, believed)).Fill(t.Context(), &torikumiv1.FillRequest{})
		return err
	}
	if err := call(ours); status.Code(err) != codes.Unauthenticated {
		t.Fatalf("the first certificate: %v", err)
	}
	theirs := tlstest.NewAuthority(t)
	if err := call(theirs); status.Code(err) != codes.Unavailable {
		t.Fatalf("a certificate of another authority: %v", err)
	}
	cert, key := theirs.Issue(t, "127.0.0.1")
	tlstest.Copy(t, cert, certFile)
	tlstest.Copy(t, key, keyFile)
	if err := call(theirs); status.Code(err) != codes.Unauthenticated {
		t.Errorf("the second certificate: %v", err)
	}
}

// TestBackfillTakesARestart: a director that serves no gates goes on with the queues that it
// has.
func TestBackfillTakesARestart(t *testing.T) {
	h := newHarness(t)
	path := filepath.Join(t.TempDir(), "queues.yaml")
	write := func(text string) { tlstest.Write(t, path, []byte(text)) }
	tlstest.Write(t, filepath.Join(filepath.Dir(path), "duel.json"), []byte(duelRules))
	write("queues: [{name: session, rule_set: duel.json}]\n")
	i := start(t, h, func(c *director.Config) { c.Queues = path })
	write("queues: [{name: session, rule_set: duel.json, backfill: {}}]\n")
	eventually.True(t, "the change is refused", func() bool {
		return strings.Contains(get(t, i, "/metrics").body, "torikumi_queues_last_reload_successful 0")
	})
}
