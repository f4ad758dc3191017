// Package secrets makes the Secrets that a cluster's suite starts with, as
// manifests: the key of the join tokens, and the certificates with which the
// director and Agones's allocator know each other. Names and keys of the data are
// those that manifests/ and Agones's chart look for.
package secrets

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"time"

	"torikumi/frontend/signing"
	"torikumi/pkg/token"
)

// Namespaces of the Secrets.
const (
	Suite  = "torikumi"
	Agones = "agones-system"
	Games  = "games"
)

// Names of the Secrets.
const (
	JoinKeys          = "frontend-join-keys"
	AllocatorClient   = "allocator-client"
	AllocatorTLS      = "allocator-tls"
	AllocatorTLSCA    = "allocator-tls-ca"
	AllocatorClientCA = "allocator-client-ca"
	DirectorGates     = "director-gates"
	DirectorGatesCA   = "director-gates-ca"
)

// allocatorHosts are the names by which the allocator is called. Agones's own
// certificate has none, and a client that checks names refuses it.
var allocatorHosts = []string{
	"agones-allocator.agones-system.svc", "agones-allocator.agones-system.svc.cluster.local",
	"agones-allocator.agones-system", "agones-allocator", "localhost",
}

// Secret is a v1.Secret, as far as it is needed.
type Secret struct {
	Namespace, Name, Type string
	Data                  map[string][]byte
}

// Make makes all Secrets, each time with new keys. The certificates are good for
// validity from now on.
func Make(alg token.Algorithm, now time.Time, validity time.Duration) ([]Secret, error) {
	name, key, err := joinKey(alg, now)
	if err != nil {
		return nil, err
	}
	ca, err := newAuthority("torikumi allocation", now, validity)
	if err != nil {
		return nil, err
	}
	server, err := ca.issue("agones-allocator", x509.ExtKeyUsageServerAuth, allocatorHosts)
	if err != nil {
		return nil, err
	}
	client, err := ca.issue("torikumi-director", x509.ExtKeyUsageClientAuth, nil)
	if err != nil {
		return nil, err
	}
	return []Secret{
		{Suite, JoinKeys, "Opaque", map[string][]byte{name: key}},
		{Suite, AllocatorClient, "kubernetes.io/tls", map[string][]byte{"ca.crt": ca.pem, "tls.crt": client.cert, "tls.key": client.key}},
		{Agones, AllocatorTLS, "kubernetes.io/tls", map[string][]byte{"tls.crt": server.cert, "tls.key": server.key}},
		{Agones, AllocatorTLSCA, "Opaque", map[string][]byte{"tls-ca.crt": ca.pem}},
		{Agones, AllocatorClientCA, "Opaque", map[string][]byte{"client-ca.crt": ca.pem}},
	}, nil
}

// directorHosts are the names by which gates call directors.
var directorHosts = []string{"director.torikumi.svc", "director.torikumi.svc.cluster.local", "director.torikumi"}

// MakeGates makes the certificate by which gates know directors, and its authority for
// the gates, each time anew.
func MakeGates(now time.Time, validity time.Duration) ([]Secret, error) {
	ca, err := newAuthority("torikumi directors for gates", now, validity)
	if err != nil {
		return nil, err
	}
	server, err := ca.issue("torikumi-director", x509.ExtKeyUsageServerAuth, directorHosts)
	if err != nil {
		return nil, err
	}
	return []Secret{
		{Suite, DirectorGates, "kubernetes.io/tls", map[string][]byte{"tls.crt": server.cert, "tls.key": server.key}},
		{Games, DirectorGatesCA, "Opaque", map[string][]byte{"ca.crt": ca.pem}},
	}, nil
}

// Manifest is a List of the Secrets, as JSON; with namespaces, those come first.
func Manifest(list []Secret, namespaces bool) ([]byte, error) {
	type object = map[string]any
	var items []object
	if namespaces {
		var there []string
		for _, s := range list {
			if slices.Contains(there, s.Namespace) {
				continue
			}
			there = append(there, s.Namespace)
			items = append(items, object{"apiVersion": "v1", "kind": "Namespace", "metadata": object{"name": s.Namespace}})
		}
	}
	for _, s := range list {
		items = append(items, object{
			"apiVersion": "v1", "kind": "Secret", "type": s.Type, "data": s.Data,
			"metadata": object{"name": s.Name, "namespace": s.Namespace, "labels": object{"app.kubernetes.io/part-of": "torikumi"}},
		})
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetIndent("", "  ")
	err := enc.Encode(object{"apiVersion": "v1", "kind": "List", "items": items})
	return out.Bytes(), err
}

// joinKey makes a key as a file of a key directory.
func joinKey(alg token.Algorithm, now time.Time) (name string, content []byte, err error) {
	dir, err := os.MkdirTemp("", "torikumi-key-")
	if err != nil {
		return "", nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path, err := signing.GenerateKey(dir, alg, now)
	if err != nil {
		return "", nil, err
	}
	content, err = os.ReadFile(path)
	return filepath.Base(path), content, err
}

// pair is a certificate and its key in PEM.
type pair struct{ cert, key []byte }

// authority issues certificates.
type authority struct {
	key      crypto.Signer
	cert     *x509.Certificate
	pem      []byte
	from, to time.Time
}

func newAuthority(name string, now time.Time, validity time.Duration) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	a := &authority{key: key, from: now.Add(-time.Hour), to: now.Add(validity)}
	template := a.template(name)
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make the authority: %w", err)
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	a.cert, err = x509.ParseCertificate(der)
	return a, err
}

func (a *authority) template(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial()), Subject: pkix.Name{CommonName: name},
		NotBefore: a.from, NotAfter: a.to,
	}
}

func serial() []byte {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	b[0] &= 0x7f        // serial numbers are positive
	return b
}

func (a *authority) issue(name string, usage x509.ExtKeyUsage, hosts []string) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, err
	}
	template := a.template(name)
	template.KeyUsage, template.ExtKeyUsage, template.DNSNames = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{usage}, hosts
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return pair{}, fmt.Errorf("make the certificate of %s: %w", name, err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return pair{}, err
	}
	return pair{
		cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}, nil
}
