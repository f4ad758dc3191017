package rpc_test

import (
	"net"
	"path/filepath"
	"strings"
	"testing"

	"crypto/tls"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"torikumi/pkg/rpc"
	"torikumi/pkg/tlstest"
)

func TestPeerSettings(t *testing.T) {
	for _, test := range []struct {
		check func() error
		want  string // empty: nothing is wrong
	}{
		{(&rpc.PeerTLS{}).CheckPeerTLS, ""},
		{(&rpc.PeerTLS{PeerCA: "a"}).CheckPeerTLS, ""},
		{(&rpc.PeerTLS{PeerCA: "a", PeerCert: "c", PeerKey: "k"}).CheckPeerTLS, ""},
		{(&rpc.PeerTLS{PeerCA: "a", PeerCert: "c"}).CheckPeerTLS, "--peer-key: required: --peer-cert needs it"},
		{(&rpc.PeerTLS{PeerCA: "a", PeerKey: "k"}).CheckPeerTLS, "--peer-cert: required: --peer-key needs it"},
		{(&rpc.PeerTLS{PeerCert: "c", PeerKey: "k"}).CheckPeerTLS, "--peer-ca: required: --peer-cert needs it"},
		{(&rpc.GRPCTLS{}).CheckGRPCTLS, ""},
		{(&rpc.GRPCTLS{GRPCCert: "c", GRPCKey: "k"}).CheckGRPCTLS, ""},
		{(&rpc.GRPCTLS{GRPCCert: "c"}).CheckGRPCTLS, "--grpc-key: required: --grpc-cert needs it"},
		{(&rpc.GRPCTLS{GRPCKey: "k"}).CheckGRPCTLS, "--grpc-cert: required: --grpc-key needs it"},
		{(&rpc.GRPCTLS{GRPCClientCA: "a"}).CheckGRPCTLS, "--grpc-cert: required: --grpc-client-ca needs it"},
	} {
		err := test.check()
		if (err == nil) != (test.want == "") || err != nil && err.Error() != test.want {
			t.Errorf("%v, want %q", err, test.want)
		}
	}
	missing := filepath.Join(t.TempDir(), "missing.pem")
	if _, err := (&rpc.GRPCTLS{GRPCCert: missing, GRPCKey: missing}).ServerTLS(); err == nil || !strings.Contains(err.Error(), "--grpc-cert") {
		t.Errorf("a certificate that is not there: %v", err)
	}
	if _, err := (&rpc.PeerTLS{PeerCA: missing}).DialPeer("127.0.0.1:1", ""); err == nil || !strings.Contains(err.Error(), "--peer-ca") {
		t.Errorf("authorities that are not there: %v", err)
	}
	if err := (&rpc.PeerTLS{PeerCA: missing}).ReadPeerTLS(); err == nil || !strings.Contains(err.Error(), "missing.pem") {
		t.Errorf("authorities that are not there, read at the start: %v", err)
	}
	if err := (&rpc.PeerTLS{}).ReadPeerTLS(); err != nil {
		t.Errorf("plain text: %v", err)
	}
	if _, err := (&rpc.OpenMatchTLS{OpenMatchCA: missing}).DialOpenMatch("127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "--open-match-ca") {
		t.Errorf("authorities that are not there: %v", err)
	}
}

// TestMutual: who may call a server that asks for certificates, and which servers a
// client believes. Replaced files count from the next connection on.
func TestMutual(t *testing.T) {
	ca, other := tlstest.NewAuthority(t), tlstest.NewAuthority(t)
	serverCert, serverKey := ca.Issue(t, "director.example")
	cert, key := ca.Issue(t)
	strange, strangeKey := other.Issue(t)
	clientCA := filepath.Join(t.TempDir(), "ca.pem")
	tlstest.Copy(t, ca.File, clientCA)
	addr := serveHealth(t, &rpc.GRPCTLS{GRPCCert: serverCert, GRPCKey: serverKey, GRPCClientCA: clientCA})

	call := func(c rpc.PeerTLS, host string) codes.Code {
		conn, err := c.DialPeer("passthrough:///"+addr, host)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, err = grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
		return status.Code(err)
	}
	good := rpc.PeerTLS{PeerCA: ca.File, PeerCert: cert, PeerKey: key}
	for _, test := range []struct {
		name string
		c    rpc.PeerTLS
		host string
		want codes.Code
	}{
		{"both known", good, "director.example", codes.OK},
		{"in plain text", rpc.PeerTLS{}, "", codes.Unavailable},
		{"no certificate", rpc.PeerTLS{PeerCA: ca.File}, "director.example", codes.Unavailable},
		{"a stranger's certificate", rpc.PeerTLS{PeerCA: ca.File, PeerCert: strange, PeerKey: strangeKey}, "director.example", codes.Unavailable},
		{"another authority's server", rpc.PeerTLS{PeerCA: other.File, PeerCert: cert, PeerKey: key}, "director.example", codes.Unavailable},
		{"another server's name", good, "evaluator.example", codes.Unavailable},
		{"the address is not in the certificate", good, "", codes.Unavailable},
	} {
		if got := call(test.c, test.host); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
	tlstest.Copy(t, other.File, clientCA)
	if got := call(good, "director.example"); got != codes.Unavailable {
		t.Errorf("an authority that is no longer trusted: %v", got)
	}
	if got := call(rpc.PeerTLS{PeerCA: ca.File, PeerCert: strange, PeerKey: strangeKey}, "director.example"); got != codes.OK {
		t.Errorf("an authority that is trusted now: %v", got)
	}
}

func serveHealth(t *testing.T, c *rpc.GRPCTLS) string {
	t.Helper()
	secured, err := c.ServerTLS()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(s, health.NewServer())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(tls.NewListener(l, secured)) }()
	t.Cleanup(func() { s.Stop(); <-done })
	return l.Addr().String()
}
