package frontend

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

// TLSConfig lets players in over TLS where nothing in front of the frontend does.
type TLSConfig struct {
	HTTPSListen string `flag:"https-listen" rule:"listen" help:"Address of the HTTP server over TLS, besides --http-listen. Port 0 is any free one; none when not given."`
	TLSCert     string `flag:"tls-cert" help:"PEM file with the certificate of --https-listen, and those of the authorities between. A new one is taken up within half a minute."`
	TLSKey      string `flag:"tls-key" help:"PEM file with the certificate's key."`
}

func (c *TLSConfig) validate() error {
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

// certificateReload is the time between two readings of the files.
const certificateReload = 30 * time.Second

// certificate is the current content of two files.
type certificate struct {
	certFile, keyFile string
	current           atomic.Pointer[tls.Certificate]
}

func loadCertificate(c TLSConfig) (*certificate, error) {
	cert := &certificate{certFile: c.TLSCert, keyFile: c.TLSKey}
	return cert, cert.read()
}

func (c *certificate) read() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("certificate of --https-listen: %w", err)
	}
	c.current.Store(&pair)
	return nil
}

func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}
}

// watch reads the files again and again until ctx ends. What cannot be read, as
// while both are being replaced, changes nothing.
func (c *certificate) watch(ctx context.Context, every time.Duration, log *slog.Logger) error {
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
