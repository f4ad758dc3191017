package certs_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"maps"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"torikumi/miniagones/kubernetes/internal/certs"
)

var clientSecret = types.NamespacedName{Namespace: "torikumi", Name: "allocator-client"}

func options(t testing.TB, objects ...client.Object) certs.Options {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return certs.Options{
		Client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build(), Namespace: "agones-system", SelfSigned: true,
		Hosts: []string{"agones-allocator.agones-system.svc", "127.0.0.1"}, APIHosts: []string{"miniagones.agones-system.svc"},
		ClientSecrets: []types.NamespacedName{clientSecret}, Log: slog.New(slog.DiscardHandler),
	}
}

func newStore(t testing.TB, o certs.Options) *certs.Store {
	t.Helper()
	s, err := certs.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func secret(t testing.TB, o certs.Options, namespace, name string) *corev1.Secret {
	t.Helper()
	s := new(corev1.Secret)
	if err := o.Client.Get(t.Context(), types.NamespacedName{Namespace: namespace, Name: name}, s); err != nil {
		t.Fatal(err)
	}
	return s
}

// handshake reports whether the store's server and the client of a Secret accept
// each other.
func handshake(t testing.TB, s *certs.Store, as *corev1.Secret, host string) error {
	t.Helper()
	pair, err := tls.X509KeyPair(as.Data["tls.crt"], as.Data["tls.key"])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(as.Data["ca.crt"]) {
		t.Fatal("no authority")
	}
	lis, err := tls.Listen("tcp", "127.0.0.1:0", s.Server())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lis.Close() }()
	served := make(chan error, 1)
	go func() {
		conn, err := lis.Accept()
		if err != nil {
			served <- err
			return
		}
		defer func() { _ = conn.Close() }()
		served <- conn.(*tls.Conn).HandshakeContext(context.Background())
	}()
	conn, err := tls.Dial("tcp", lis.Addr().String(), &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots, ServerName: host, NextProtos: []string{"h2"}})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	return <-served
}

func TestSelfSigned(t *testing.T) {
	o := options(t)
	s := newStore(t, o)
	ours := secret(t, o, "torikumi", "allocator-client")
	if err := handshake(t, s, ours, "agones-allocator.agones-system.svc"); err != nil {
		t.Errorf("our client: %v", err)
	}
	if err := handshake(t, s, ours, "elsewhere.svc"); err == nil {
		t.Error("another host's name is accepted")
	}
	other := options(t)
	newStore(t, other)
	stranger := secret(t, other, "torikumi", "allocator-client")
	stranger.Data["ca.crt"] = ours.Data["ca.crt"]
	if err := handshake(t, s, stranger, "127.0.0.1"); err == nil {
		t.Error("another authority's client is accepted")
	}
	if api := s.API(); api.Leaf.VerifyHostname("miniagones.agones-system.svc") != nil {
		t.Errorf("the API's certificate is for %v", api.Leaf.DNSNames)
	}

	// A second replica, or a restart, makes nothing anew.
	before := secret(t, o, "agones-system", "allocator-tls")
	newStore(t, o)
	if after := secret(t, o, "agones-system", "allocator-tls"); after.ResourceVersion != before.ResourceVersion {
		t.Error("a restart made another certificate")
	}
	// A certificate that does not fit any more is replaced.
	o.Hosts = append(o.Hosts, "another.svc")
	s = newStore(t, o)
	if err := handshake(t, s, ours, "another.svc"); err != nil {
		t.Errorf("the new name: %v", err)
	}
}

// TestForeignSecrets: what others have made stays, and their clients are let in.
func TestForeignSecrets(t *testing.T) {
	theirs := options(t)
	newStore(t, theirs)
	var objects []client.Object
	for _, key := range []types.NamespacedName{{Namespace: "agones-system", Name: "allocator-tls"}, {Namespace: "agones-system", Name: "allocator-client-ca"}, clientSecret} {
		s := secret(t, theirs, key.Namespace, key.Name)
		objects = append(objects, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}, Data: s.Data})
	}
	o := options(t, objects...)
	s := newStore(t, o)
	for _, want := range objects {
		got := secret(t, o, want.GetNamespace(), want.GetName())
		if !maps.EqualFunc(got.Data, want.(*corev1.Secret).Data, func(a, b []byte) bool { return string(a) == string(b) }) {
			t.Errorf("%s has changed", want.GetName())
		}
	}
	if err := handshake(t, s, secret(t, o, "torikumi", "allocator-client"), "127.0.0.1"); err != nil {
		t.Error(err)
	}
}

func TestMissing(t *testing.T) {
	o := options(t)
	o.SelfSigned, o.ClientSecrets = false, nil
	if _, err := certs.New(t.Context(), o); err == nil || !strings.Contains(err.Error(), "agones-system/allocator-tls is missing") {
		t.Errorf("nothing there: %v", err)
	}
	bad := options(t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "agones-system", Name: "allocator-client-ca"}, Data: map[string][]byte{"a": []byte("no PEM")}})
	newStoreErr := func() error { _, err := certs.New(t.Context(), bad); return err }
	if err := newStoreErr(); err == nil || !strings.Contains(err.Error(), "allocator-client-ca: must have an authority's certificate") {
		t.Errorf("no authority: %v", err)
	}
}
