package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	leafLife      = 365 * 24 * time.Hour
	// renewBefore is how long before its end a certificate is replaced.
	renewBefore = 60 * 24 * time.Hour
)

// pair is a certificate and its key, as PEM.
type pair struct{ cert, key []byte }

// authority signs certificates.
type authority struct {
	pair
	parsed *x509.Certificate
	key    *ecdsa.PrivateKey
}

// newAuthority makes an authority that nobody knows yet.
func newAuthority(now time.Time) (*authority, error) {
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "miniagones"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(authorityLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	p, err := sign(template, nil)
	if err != nil {
		return nil, err
	}
	return readAuthority(p)
}

func readAuthority(p pair) (*authority, error) {
	t, err := tls.X509KeyPair(p.cert, p.key)
	if err != nil {
		return nil, err
	}
	key, ok := t.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("its key must be an elliptic curve's")
	}
	return &authority{pair: p, parsed: t.Leaf, key: key}, nil
}

// leaf makes a certificate for a server of these names, or for a client.
func (a *authority) leaf(name string, use x509.ExtKeyUsage, hosts []string, now time.Time) (pair, error) {
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(leafLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{use},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	return sign(template, a)
}

// sign makes a key and its certificate; without an authority it signs itself.
func sign(template *x509.Certificate, by *authority) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, fmt.Errorf("make a key: %w", err)
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return pair{}, fmt.Errorf("make a serial number: %w", err)
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.parsed, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return pair{}, fmt.Errorf("sign a certificate: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return pair{}, fmt.Errorf("encode a key: %w", err)
	}
	return pair{
		cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}, nil
}

// fresh reports whether a pair is one of the authority's, for these hosts, and will
// be valid for a while.
func (a *authority) fresh(p pair, hosts []string, now time.Time) bool {
	t, err := tls.X509KeyPair(p.cert, p.key)
	if err != nil || t.Leaf.CheckSignatureFrom(a.parsed) != nil || now.After(t.Leaf.NotAfter.Add(-renewBefore)) {
		return false
	}
	for _, h := range hosts {
		if t.Leaf.VerifyHostname(h) != nil {
			return false
		}
	}
	return true
}
