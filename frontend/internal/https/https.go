// Package https has a service of the frontend's side speak TLS to players where nothing in
// front of it does, with a certificate that can be replaced while it runs.
package https

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"torikumi/pkg/config"
	"torikumi/pkg/rpc"
)

// TLSConfig holds the settings; without --https-listen there is no TLS.
type TLSConfig struct {
	HTTPSListen string `flag:"https-listen" rule:"listen" help:"Address of the HTTP server over TLS, besides --http-listen. Port 0 is any free one; none when not given."`
	TLSCert     string `flag:"tls-cert" help:"PEM file with the certificate of --https-listen, and those of the authorities between. A new one is taken up within half a minute."`
	TLSKey      string `flag:"tls-key" help:"PEM file with the certificate's key."`
}

// CheckTLS tells which of the settings are wrong.
func (c *TLSConfig) CheckTLS() error {
	var errs []error
	for _, f := range []struct{ name, value string }{{"tls-cert", c.TLSCert}, {"tls-key", c.TLSKey}} {
		switch {
		case c.HTTPSListen != "" && f.value == "":
			errs = append(errs, config.Missing(f.name, "--https-listen needs a certificate"))
		case c.HTTPSListen == "" && f.value != "":
			errs = append(errs, config.Invalid(f.name, "must not be given without --https-listen", f.value))
		}
	}
	return errors.Join(errs...)
}

// reload is the time between two readings of the files.
const reload = 30 * time.Second

// Certificate is the current content of two files. It is safe for concurrent use.
type Certificate struct {
	certFile, keyFile string
	current           atomic.Pointer[tls.Certificate]
}

// Load reads the files for the first time; Run follows them.
func Load(c TLSConfig) (*Certificate, error) {
	cert := &Certificate{certFile: c.TLSCert, keyFile: c.TLSKey}
	return cert, cert.read()
}

func (c *Certificate) read() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("certificate of --https-listen: %w", err)
	}
	c.current.Store(&pair)
	return nil
}

// Config is for a server that shows the certificate.
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}
}

// Run follows the files until ctx ends; then it returns nil.
func (c *Certificate) Run(ctx context.Context, log *slog.Logger) error {
	return c.watch(ctx, reload, log)
}

// watch reads the files again and again until ctx ends. What cannot be read, as
// while both are being replaced, changes nothing.
func (c *Certificate) watch(ctx context.Context, every time.Duration, log *slog.Logger) error {
	failed := false
	for rpc.Sleep(ctx, every) == nil {
		err := c.read()
		if err != nil && !failed {
			log.WarnContext(ctx, "the old certificate stays", "error", err)
		}
		failed = err != nil
	}
	return nil
}
