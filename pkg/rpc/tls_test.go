package rpc_test

import (
	"path/filepath"
	"strings"
	"testing"

	"torikumi/pkg/rpc"
	"torikumi/pkg/tlstest"
)

// What the files do for a connection, and that they are read again, is tested
// with the director.
func TestDialTLSNamesTheFileThatIsWrong(t *testing.T) {
	certFile, keyFile := tlstest.NewAuthority(t).Issue(t)
	empty := filepath.Join(t.TempDir(), "ca.pem")
	tlstest.Write(t, empty, nil)
	for want, files := range map[string]rpc.TLS{
		"missing.pem":           {CertFile: "missing.pem", KeyFile: keyFile},
		"missing.ca":            {CertFile: certFile, KeyFile: keyFile, CAFile: "missing.ca"},
		empty:                   {CertFile: certFile, KeyFile: keyFile, CAFile: empty},
		"certificate authoriti": {CertFile: certFile, KeyFile: keyFile, ServerName: rpc.AnyName},
	} {
		if _, err := rpc.DialTLS("127.0.0.1:1", files); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", files, err)
		}
	}
}
