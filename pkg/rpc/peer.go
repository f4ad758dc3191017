package rpc

import (
	"crypto/tls"
	"errors"
	"fmt"

	"google.golang.org/grpc"

	"torikumi/pkg/config"
)

// PeerTLS holds the settings of calls to other services of the suite.
type PeerTLS struct {
	PeerCA   string `flag:"peer-ca" help:"PEM file with the authorities of the other services' certificates, which have to carry the host names of the settings: they are then called over TLS. None: in plain text. This file and the next two are read again for each new connection."`
	PeerCert string `flag:"peer-cert" help:"PEM file with the certificate to show them (their --grpc-client-ca)."`
	PeerKey  string `flag:"peer-key" help:"PEM file with its key."`
}

// CheckPeerTLS reports what is wrong with the settings.
func (c *PeerTLS) CheckPeerTLS() error {
	return errors.Join(pair("peer-cert", c.PeerCert, "peer-key", c.PeerKey), needs("peer-cert", c.PeerCert, "peer-ca", c.PeerCA))
}

// ReadPeerTLS reports what is wrong with the files, for who calls nobody at the start.
func (c *PeerTLS) ReadPeerTLS() error {
	conn, err := c.DialPeer("passthrough:///none", "none")
	if err == nil {
		err = conn.Close()
	}
	return err
}

// DialPeer connects to a service of the suite. With a host the target is an address that
// was looked up for it.
func (c *PeerTLS) DialPeer(target, host string, opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	if c.PeerCA == "" {
		return Dial(target, opts...)
	}
	conn, err := DialTLS(target, TLS{CAFile: c.PeerCA, CertFile: c.PeerCert, KeyFile: c.PeerKey, ServerName: host}, opts...)
	if err != nil {
		return nil, fmt.Errorf("--peer-ca, --peer-cert, --peer-key: %w", err)
	}
	return conn, nil
}

// OpenMatchTLS holds the settings of calls to Open Match.
type OpenMatchTLS struct {
	OpenMatchCA string `flag:"open-match-ca" help:"PEM file with the authorities of Open Match's certificates: it is then called over TLS. None: in plain text. Read again for each new connection."`
}

// DialOpenMatch connects to a service of Open Match, which asks for no certificate.
func (c *OpenMatchTLS) DialOpenMatch(target string, opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	if c.OpenMatchCA == "" {
		return Dial(target, opts...)
	}
	conn, err := DialTLS(target, TLS{CAFile: c.OpenMatchCA}, opts...)
	if err != nil {
		return nil, fmt.Errorf("--open-match-ca: %w", err)
	}
	return conn, nil
}

// GRPCTLS holds the settings of a gRPC server that other services of the suite, or Open
// Match, call.
type GRPCTLS struct {
	GRPCCert     string `flag:"grpc-cert" help:"PEM file with the certificate of --grpc-listen, which then speaks TLS, and those of the authorities between. None: plain text. This file and the next two are read again for each new connection."`
	GRPCKey      string `flag:"grpc-key" help:"PEM file with its key."`
	GRPCClientCA string `flag:"grpc-client-ca" help:"PEM file with the authorities of the callers' certificates. None: callers show none. Open Match has none to show."`
}

// CheckGRPCTLS reports what is wrong with the settings.
func (c *GRPCTLS) CheckGRPCTLS() error {
	return errors.Join(pair("grpc-cert", c.GRPCCert, "grpc-key", c.GRPCKey), needs("grpc-client-ca", c.GRPCClientCA, "grpc-cert", c.GRPCCert))
}

// ServerTLS are the settings as crypto/tls has them; nil is plain text.
func (c *GRPCTLS) ServerTLS() (*tls.Config, error) {
	if c.GRPCCert == "" {
		return nil, nil
	}
	cfg, err := ServerTLS(c.GRPCCert, c.GRPCKey, c.GRPCClientCA)
	if err != nil {
		return nil, fmt.Errorf("--grpc-cert, --grpc-key, --grpc-client-ca: %w", err)
	}
	return cfg, nil
}

func pair(a, valueA, b, valueB string) error {
	return errors.Join(needs(a, valueA, b, valueB), needs(b, valueB, a, valueA))
}

// needs reports that one setting is there without another.
func needs(a, valueA, b, valueB string) error {
	if valueA != "" && valueB == "" {
		return config.Missing(b, "--"+a+" needs it")
	}
	return nil
}
