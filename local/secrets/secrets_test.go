package secrets_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"torikumi/frontend/signing"
	"torikumi/local/secrets"
	"torikumi/pkg/token"
)

func makeAll(t *testing.T, alg token.Algorithm) map[string]secrets.Secret {
	t.Helper()
	list, err := secrets.Make(alg, time.Now(), 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	byName := make(map[string]secrets.Secret)
	for _, s := range list {
		byName[s.Namespace+"/"+s.Name] = s
	}
	return byName
}

func TestJoinKeySigns(t *testing.T) {
	dir := t.TempDir()
	for name, content := range makeAll(t, token.RS256)["torikumi/frontend-join-keys"].Data {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := signing.LoadKeys(dir, signing.KeyOptions{Algorithm: token.RS256}); err != nil {
		t.Error(err)
	}
}

func pool(t *testing.T, pem []byte) *x509.CertPool {
	t.Helper()
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(pem) {
		t.Fatal("no certificate")
	}
	return p
}

func keyPair(t *testing.T, s secrets.Secret) tls.Certificate {
	t.Helper()
	if s.Type != "kubernetes.io/tls" {
		t.Errorf("%s is of type %s", s.Name, s.Type)
	}
	pair, err := tls.X509KeyPair(s.Data["tls.crt"], s.Data["tls.key"])
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// The director and an allocator that checks clients believe each other, by the
// name in the director's settings; a stranger is refused.
func TestMutualTLS(t *testing.T) {
	all := makeAll(t, token.ES256)
	server := &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{keyPair(t, all["agones-system/allocator-tls"])},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool(t, all["agones-system/allocator-client-ca"].Data["client-ca.crt"]),
	}
	director := all["torikumi/allocator-client"]
	handshake := func(client *tls.Config) error {
		a, b := net.Pipe()
		defer a.Close()
		defer b.Close()
		failed := make(chan error, 1)
		go func() { failed <- tls.Server(a, server).Handshake() }()
		if err := tls.Client(b, client).Handshake(); err != nil {
			return err
		}
		return <-failed
	}
	client := &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: "agones-allocator.agones-system.svc",
		RootCAs: pool(t, director.Data["ca.crt"]), Certificates: []tls.Certificate{keyPair(t, director)},
	}
	if err := handshake(client); err != nil {
		t.Error(err)
	}
	if err := handshake(&tls.Config{MinVersion: tls.VersionTLS13, ServerName: "elsewhere", RootCAs: client.RootCAs, Certificates: client.Certificates}); err == nil {
		t.Error("the allocator's certificate is good for any name")
	}
	foreign := makeAll(t, token.ES256)["torikumi/allocator-client"]
	stranger := client.Clone()
	stranger.Certificates = []tls.Certificate{keyPair(t, foreign)}
	a, b := net.Pipe()
	defer a.Close()
	refused := make(chan error, 1)
	go func() { refused <- tls.Server(a, server).Handshake(); a.Close() }()
	conn := tls.Client(b, stranger)
	_ = conn.Handshake() // over TLS 1.3 the client's side is done before it is refused
	_ = conn.Close()
	if err := <-refused; err == nil {
		t.Error("the allocator takes a certificate of another authority")
	}
}

// A gate that has the authority knows a director by the name in the manifests, and by no
// other.
func TestGatesTLS(t *testing.T) {
	list, err := secrets.MakeGates(time.Now(), time.Hour)
	if err != nil || len(list) != 2 || list[0].Namespace != "torikumi" || list[1].Namespace != "games" {
		t.Fatal(list, err)
	}
	leaf := keyPair(t, list[0]).Leaf
	for name, good := range map[string]bool{"director.torikumi.svc": true, "agones-allocator.agones-system.svc": false} {
		o := x509.VerifyOptions{DNSName: name, Roots: pool(t, list[1].Data["ca.crt"])}
		if _, err := leaf.Verify(o); (err == nil) != good {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool(t, makeAll(t, token.ES256)["torikumi/allocator-client"].Data["ca.crt"])}); err == nil {
		t.Error("another authority is as good")
	}
}

func TestManifest(t *testing.T) {
	list, err := secrets.Make(token.ES256, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := secrets.Manifest(list, true)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Kind  string
		Items []struct {
			Kind, Type string
			Metadata   struct{ Name, Namespace string }
			Data       map[string][]byte
		}
	}
	if err := json.Unmarshal(raw, &got); err != nil || got.Kind != "List" || len(got.Items) != 7 {
		t.Fatalf("%v: %d items of a %s", err, len(got.Items), got.Kind)
	}
	for i, kind := range []string{"Namespace", "Namespace", "Secret", "Secret", "Secret", "Secret", "Secret"} {
		if got.Items[i].Kind != kind {
			t.Errorf("item %d is a %s", i, got.Items[i].Kind)
		}
		if kind == "Secret" && len(got.Items[i].Data) == 0 {
			t.Errorf("%s is empty", got.Items[i].Metadata.Name)
		}
	}
}
