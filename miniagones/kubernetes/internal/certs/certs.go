// Package certs has the certificates that miniagones serves with and that its
// clients show, in Secrets with Agones's names. It can make them itself, for
// clusters where nobody else does. On the player's path only who has a client's
// certificate may allocate.
package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Names of Secrets.
const (
	// ServerSecret holds the server's certificate, its key, and, under ca.crt,
	// the authority's certificate.
	ServerSecret = "allocator-tls"
	// ClientCASecret holds the authorities of clients' certificates, each as a
	// value of its own.
	ClientCASecret = "allocator-client-ca"
	// APISecret holds the certificate of GameServerAllocation's server, which the
	// API server calls.
	APISecret = "miniagones-tls"
	// AuthoritySecret holds the authority that signs what we make ourselves.
	AuthoritySecret = "miniagones-ca"

	caKey = "ca.crt"
)

// Options describe the certificates.
type Options struct {
	// Client asks the API server.
	Client    client.Client
	Namespace string
	// SelfSigned makes what is missing, and replaces of it what is about to expire.
	// Secrets that others have made stay as they are.
	SelfSigned bool
	// Hosts are the names that clients know the server by, APIHosts those by which
	// the API server knows the server of GameServerAllocation; none: there is none.
	Hosts, APIHosts []string
	// ClientSecrets get a client's certificate, its key, and the authority's
	// certificate. Only with SelfSigned.
	ClientSecrets []types.NamespacedName
	Log           *slog.Logger
}

// Store has the certificates in use. Make it with New.
type Store struct {
	opts    Options
	current atomic.Pointer[loaded]
}

type loaded struct {
	server, api tls.Certificate
	clients     *x509.CertPool
	// ca is our own authority, if we have one.
	ca []byte
}

// reloadEvery is how often the Secrets are read.
const reloadEvery = time.Minute

// New reads the certificates, and makes those that are missing if it may.
func New(ctx context.Context, o Options) (*Store, error) {
	s := &Store{opts: o}
	return s, s.refresh(ctx)
}

// Run follows the Secrets until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	tick := time.NewTicker(reloadEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := s.refresh(ctx); err != nil && ctx.Err() == nil {
				s.opts.Log.Error("certificates can't be read again", "error", err)
			}
		}
	}
}

// CA is the certificate (PEM) of our own authority; without SelfSigned empty.
func (s *Store) CA() []byte { return s.current.Load().ca }

// Server is the TLS configuration of the allocation service: clients have to show a
// certificate.
func (s *Store) Server() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		c := s.current.Load()
		return &tls.Config{
			MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"}, Certificates: []tls.Certificate{c.server},
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: c.clients,
		}, nil
	}}
}

// API is the certificate of GameServerAllocation's server.
func (s *Store) API() tls.Certificate { return s.current.Load().api }

func (s *Store) refresh(ctx context.Context) error {
	l := &loaded{clients: x509.NewCertPool()}
	if s.opts.SelfSigned {
		ca, err := s.make(ctx, time.Now())
		if err != nil {
			return fmt.Errorf("make certificates: %w", err)
		}
		l.ca = ca.cert
		l.clients.AddCert(ca.parsed)
	}
	if err := s.load(ctx, l); err != nil {
		return err
	}
	s.current.Store(l)
	return nil
}

func (s *Store) load(ctx context.Context, l *loaded) error {
	var err error
	if l.server, err = s.certificate(ctx, ServerSecret); err != nil {
		return err
	}
	if len(s.opts.APIHosts) > 0 {
		if l.api, err = s.certificate(ctx, APISecret); err != nil {
			return err
		}
	}
	clients, err := s.secret(ctx, types.NamespacedName{Namespace: s.opts.Namespace, Name: ClientCASecret})
	if err != nil {
		return err
	}
	found := false
	for _, pem := range clients.Data {
		found = l.clients.AppendCertsFromPEM(pem) || found
	}
	if !found {
		return fmt.Errorf("secret %s/%s: must have an authority's certificate (PEM) as a value", s.opts.Namespace, ClientCASecret)
	}
	return nil
}

func (s *Store) certificate(ctx context.Context, name string) (tls.Certificate, error) {
	secret, err := s.secret(ctx, types.NamespacedName{Namespace: s.opts.Namespace, Name: name})
	if err != nil {
		return tls.Certificate{}, err
	}
	c, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return c, fmt.Errorf("secret %s/%s: tls.crt, tls.key: must be a certificate and its key: %w", s.opts.Namespace, name, err)
	}
	return c, nil
}

func (s *Store) secret(ctx context.Context, key types.NamespacedName) (*corev1.Secret, error) {
	secret := new(corev1.Secret)
	err := s.opts.Client.Get(ctx, key, secret)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("secret %s is missing: make it, or set --self-signed, or --allocator-insecure", key)
	}
	if err != nil {
		return nil, fmt.Errorf("read secret %s: %w", key, err)
	}
	return secret, nil
}

// make makes what is missing or about to expire. Of several processes that do,
// the first wins, and the others take what it has made.
func (s *Store) make(ctx context.Context, now time.Time) (*authority, error) {
	ca, err := s.authority(ctx, now)
	if err != nil {
		return nil, err
	}
	own := func(name string) types.NamespacedName {
		return types.NamespacedName{Namespace: s.opts.Namespace, Name: name}
	}
	if err := s.keep(ctx, own(ServerSecret), ca, s.opts.Hosts, x509.ExtKeyUsageServerAuth, now); err != nil {
		return nil, err
	}
	if len(s.opts.APIHosts) > 0 {
		if err := s.keep(ctx, own(APISecret), ca, s.opts.APIHosts, x509.ExtKeyUsageServerAuth, now); err != nil {
			return nil, err
		}
	}
	clients := &corev1.Secret{ObjectMeta: meta(own(ClientCASecret)), Data: map[string][]byte{caKey: ca.cert}}
	if err := s.opts.Client.Create(ctx, clients); err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, fmt.Errorf("make secret %s: %w", ClientCASecret, err)
	}
	for _, key := range s.opts.ClientSecrets {
		if err := s.keep(ctx, key, ca, nil, x509.ExtKeyUsageClientAuth, now); err != nil {
			return nil, err
		}
	}
	return ca, nil
}

func (s *Store) authority(ctx context.Context, now time.Time) (*authority, error) {
	key := types.NamespacedName{Namespace: s.opts.Namespace, Name: AuthoritySecret}
	secret := new(corev1.Secret)
	err := s.opts.Client.Get(ctx, key, secret)
	if apierrors.IsNotFound(err) {
		ca, err := newAuthority(now)
		if err != nil {
			return nil, err
		}
		err = s.opts.Client.Create(ctx, tlsSecret(key, ca.pair, nil))
		if err == nil {
			return ca, nil
		}
		if !apierrors.IsAlreadyExists(err) {
			return nil, fmt.Errorf("make secret %s: %w", key, err)
		}
		err = s.opts.Client.Get(ctx, key, secret)
		if err != nil {
			return nil, fmt.Errorf("read secret %s: %w", key, err)
		}
	} else if err != nil {
		return nil, fmt.Errorf("read secret %s: %w", key, err)
	}
	ca, err := readAuthority(pair{secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey]})
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", key, err)
	}
	return ca, nil
}

// keep sees to it that a Secret has a certificate of the authority that is valid
// for a while, unless it is somebody else's.
func (s *Store) keep(ctx context.Context, key types.NamespacedName, ca *authority, hosts []string, use x509.ExtKeyUsage, now time.Time) error {
	secret := new(corev1.Secret)
	err := s.opts.Client.Get(ctx, key, secret)
	missing := apierrors.IsNotFound(err)
	if err != nil && !missing {
		return fmt.Errorf("read secret %s: %w", key, err)
	}
	if !missing && secret.Labels[managedBy] != managedByUs {
		return nil
	}
	has := pair{secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey]}
	if !missing && slices.Equal(secret.Data[caKey], ca.cert) && ca.fresh(has, hosts, now) {
		return nil
	}
	p, err := ca.leaf(key.Name, use, hosts, now)
	if err != nil {
		return err
	}
	next := tlsSecret(key, p, ca.cert)
	if missing {
		err = s.opts.Client.Create(ctx, next)
	} else {
		next.ResourceVersion = secret.ResourceVersion
		err = s.opts.Client.Update(ctx, next)
	}
	if apierrors.IsAlreadyExists(err) || apierrors.IsConflict(err) {
		return nil // another replica was quicker
	}
	if err != nil {
		return fmt.Errorf("write secret %s: %w", key, err)
	}
	s.opts.Log.Info("made a certificate", "secret", key.String())
	return nil
}

func tlsSecret(key types.NamespacedName, p pair, ca []byte) *corev1.Secret {
	s := &corev1.Secret{
		ObjectMeta: meta(key),
		Type:       corev1.SecretTypeTLS,
		Data:       map[string][]byte{corev1.TLSCertKey: p.cert, corev1.TLSPrivateKeyKey: p.key},
	}
	if ca != nil {
		s.Data[caKey] = ca
	}
	return s
}

// What marks the Secrets that are ours.
const (
	managedBy   = "app.kubernetes.io/managed-by"
	managedByUs = "miniagones"
)

func meta(key types.NamespacedName) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: key.Namespace, Name: key.Name,
		Labels: map[string]string{managedBy: managedByUs, "app.kubernetes.io/part-of": "torikumi"},
	}
}

// ParseSecret reads "namespace/name".
func ParseSecret(text string) (types.NamespacedName, error) {
	namespace, name, _ := strings.Cut(text, "/")
	key := types.NamespacedName{Namespace: namespace, Name: name}
	if key.Namespace == "" || key.Name == "" {
		return key, errors.New("must be NAMESPACE/NAME")
	}
	return key, nil
}
