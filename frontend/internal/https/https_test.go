package https

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"torikumi/pkg/eventually"
	"torikumi/pkg/service"
)

// writeCertificate makes one for 127.0.0.1, and returns the pool that trusts it.
func writeCertificate(t *testing.T, c TLSConfig, serial int64) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), DNSNames: []string{"play.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for file, content := range map[string][]byte{c.TLSCert: cert, c.TLSKey: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return pool
}

func tlsFiles(t *testing.T) TLSConfig {
	dir := t.TempDir()
	return TLSConfig{HTTPSListen: "127.0.0.1:0", TLSCert: filepath.Join(dir, "tls.crt"), TLSKey: filepath.Join(dir, "tls.key")}
}

// Over TLS the same is served as without, in HTTP/2.
func TestHTTPS(t *testing.T) {
	c := tlsFiles(t)
	pool := writeCertificate(t, c, 1)
	cert, err := Load(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	started, done := make(chan service.Addrs, 1), make(chan error, 1)
	go func() {
		done <- service.Run(ctx, service.Options{
			Name: "https", Config: service.Config{LogFormat: "text", LogLevel: slog.LevelError}, HTTPListen: []string{"127.0.0.1:0"},
			HTTPSListen: []string{c.HTTPSListen}, TLS: cert.Config(), Started: func(a service.Addrs) { started <- a },
		})
	}()
	addrs := <-started
	if len(addrs.HTTPAll) != 2 || addrs.HTTP != addrs.HTTPAll[0] {
		t.Fatalf("listens on %q", addrs.HTTPAll)
	}
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool, ServerName: "play.example"}}
	resp, err := (&http.Client{Transport: transport}).Get("https://" + addrs.HTTPAll[1] + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 {
		t.Errorf("%s over %s", resp.Status, resp.Proto)
	}
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
	transport.CloseIdleConnections()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A new certificate is taken up, and files that cannot be read change nothing.
func TestCertificateIsTakenUp(t *testing.T) {
	c := tlsFiles(t)
	writeCertificate(t, c, 1)
	cert, err := Load(c)
	if err != nil {
		t.Fatal(err)
	}
	serial := func() int64 { return cert.current.Load().Leaf.SerialNumber.Int64() }
	if err := os.WriteFile(c.TLSKey, []byte("none"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := cert.read(); err == nil || serial() != 1 {
		t.Errorf("a broken key: %v, serial number %d", err, serial())
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- cert.watch(ctx, time.Millisecond, slog.New(slog.DiscardHandler)) }()
	writeCertificate(t, c, 2)
	eventually.True(t, "the new certificate", func() bool { return serial() == 2 })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestTLSSettings(t *testing.T) {
	for want, c := range map[string]TLSConfig{
		"--tls-cert: required":                                {HTTPSListen: ":8443", TLSKey: "k"},
		"--tls-key: required":                                 {HTTPSListen: ":8443", TLSCert: "c"},
		"--tls-key: must not be given without --https-listen": {TLSKey: "k"},
	} {
		if err := c.CheckTLS(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if _, err := Load(tlsFiles(t)); err == nil || !strings.Contains(err.Error(), "certificate of --https-listen: ") {
		t.Errorf("without files: %v", err)
	}
}
