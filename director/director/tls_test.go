package director_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"torikumi/director/director"
	"torikumi/pkg/eventually"
)

// authority signs certificates for the tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t *testing.T) *authority {
	a := new(authority)
	a.cert, a.key, a.pem, _ = issue(t, nil, "authority")
	return a
}

// issue makes a certificate, signed by itself if by is nil, and writes it and
// its key to files.
func issue(t *testing.T, by *authority, name string) (cert *x509.Certificate, key *ecdsa.PrivateKey, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: by == nil, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(file, kind string, b []byte) string {
		path := filepath.Join(dir, file)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return cert, key, write(name+".crt", "CERTIFICATE", der), write(name+".key", "PRIVATE KEY", keyDER)
}

// TestMutualTLS: the allocator gets our certificate, and is believed only with
// one of the right authority.
func TestMutualTLS(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	_, _, serverCert, serverKey := issue(t, ours, "server")
	_, _, clientCert, clientKey := issue(t, ours, "client")
	pair, err := tls.LoadX509KeyPair(serverCert, serverKey)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ours.cert)
	creds := grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12,
	}))
	for _, c := range []struct {
		name string
		ca   string
		ok   bool
	}{{"right authority", ours.pem, true}, {"wrong authority", theirs.pem, false}} {
		t.Run(c.name, func(t *testing.T) {
			h := newHarness(t)
			h.addServers(1)
			ids := h.addTickets(2)
			secure, _ := serve(t, "127.0.0.1:0", h.registerFleet, creds)
			i := start(t, h, func(cfg *director.Config) {
				cfg.Allocator, cfg.GameServers, cfg.AllocatorInsecure = secure, secure, false
				cfg.AllocatorCA, cfg.AllocatorCert, cfg.AllocatorKey = c.ca, clientCert, clientKey
			})
			if c.ok {
				eventually.True(t, "assigned", func() bool { return h.assigned(ids...) == 2 })
				return
			}
			eventually.True(t, "the allocator is not believed", func() bool {
				return metric(t, i, `torikumi_director_allocations_total{result="not_sent"}`) >= 2
			})
			if n := h.inState("Allocated"); n != 0 {
				t.Errorf("%d servers are allocated", n)
			}
		})
	}
}
