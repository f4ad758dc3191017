package rpc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
)

// TLS says how a connection proves its server, and with mutual TLS the client too. The
// files are PEM.
type TLS struct {
	// CAFile holds the authorities that the server's certificate may come
	// from; empty: those of the system.
	CAFile string
	// CertFile and KeyFile are our own certificate and its key; both empty: none is shown.
	CertFile, KeyFile string
	// ServerName has to be in the server's certificate; empty: the target's host.
	ServerName string
}

// AnyName as TLS.ServerName takes every certificate of the authorities, also one
// without a name. It needs a CAFile, whose authorities sign for this server only.
const AnyName = "*"

// DialTLS makes a client connection over TLS. The files are read now, to
// find mistakes, and again for each new connection to the server, so that
// certificates can be replaced. A connection that stands keeps those that it has.
func DialTLS(target string, files TLS, opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	cfg, err := files.read()
	if err != nil {
		return nil, err
	}
	return dial(target, rereading{credentials.NewTLS(cfg), files}, opts)
}

// rereading are credentials that read their files for each connection.
type rereading struct {
	credentials.TransportCredentials
	files TLS
}

func (r rereading) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	cfg, err := r.files.read()
	if err != nil {
		return nil, nil, err
	}
	return credentials.NewTLS(cfg).ClientHandshake(ctx, authority, conn)
}

func (r rereading) Clone() credentials.TransportCredentials {
	return rereading{r.TransportCredentials.Clone(), r.files}
}

func (t TLS) read() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CertFile != "" || t.KeyFile != "" {
		cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("load client certificate: %w", err)
		}
		cfg.Certificates = []tls.Certificate{cert}
	}
	if t.CAFile != "" {
		var err error
		if cfg.RootCAs, err = authorities(t.CAFile); err != nil {
			return nil, err
		}
	}
	switch {
	case t.ServerName != AnyName:
		cfg.ServerName = t.ServerName
	case cfg.RootCAs == nil:
		return nil, errors.New("any server name needs a file of certificate authorities")
	default:
		cfg.InsecureSkipVerify = true // crypto/tls can leave out the name only with the rest
		cfg.VerifyConnection = func(s tls.ConnectionState) error { return verifyChain(s.PeerCertificates, cfg.RootCAs) }
	}
	return cfg, nil
}

// ServerTLS makes the settings of a gRPC server whose certificate and key are PEM files.
// With a clientCAFile each client has to show a certificate of its authorities. The files
// are read now, to find mistakes, and again for each new connection, so that they can be
// replaced.
func ServerTLS(certFile, keyFile, clientCAFile string) (*tls.Config, error) {
	read := func() (*tls.Config, error) {
		cert, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			return nil, fmt.Errorf("load server certificate: %w", err)
		}
		cfg := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"}, Certificates: []tls.Certificate{cert}}
		if clientCAFile != "" {
			cfg.ClientAuth = tls.RequireAndVerifyClientCert
			cfg.ClientCAs, err = authorities(clientCAFile)
		}
		return cfg, err
	}
	cfg, err := read()
	if err != nil {
		return nil, err
	}
	cfg.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return read() }
	return cfg, nil
}

func authorities(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read certificate authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no PEM certificate", file)
	}
	return pool, nil
}

// verifyChain does what crypto/tls does with a server's certificates, without the name.
func verifyChain(certs []*x509.Certificate, roots *x509.CertPool) error {
	if len(certs) == 0 {
		return errors.New("the server has no certificate")
	}
	o := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, c := range certs[1:] {
		o.Intermediates.AddCert(c)
	}
	_, err := certs[0].Verify(o)
	return err
}

// Connected makes a readiness check of a connection. It waits until it stands,
// at the longest until the last try to connect has failed.
func Connected(conn *grpc.ClientConn) func(context.Context) error {
	return func(ctx context.Context) error {
		for {
			state := conn.GetState()
			switch state {
			case connectivity.Ready:
				return nil
			case connectivity.TransientFailure:
				return fmt.Errorf("no connection to %s", conn.Target())
			}
			conn.Connect()
			if !conn.WaitForStateChange(ctx, state) {
				return fmt.Errorf("connection to %s is %s", conn.Target(), state)
			}
		}
	}
}
