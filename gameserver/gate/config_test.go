package gate

import (
	"io"
	"strings"
	"testing"

	"torikumi/pkg/config"
)

// What of the directors' settings is incomplete or contradicts itself stops the start.
func TestDirectorSettings(t *testing.T) {
	base := []string{"--jwks-url=http://127.0.0.1:1/keys", "--issuer=https://x"}
	load := func(args string) error {
		return config.Load("gate", "GATE_", new(Config), append(base, strings.Fields(args)...), func(string) string { return "" }, io.Discard)
	}
	for _, args := range []string{"", "--director=d:1 --director-ca=f --director-token-file=t", "--director=d:1 --director-insecure --director-token-file=t"} {
		if err := load(args); err != nil {
			t.Errorf("%q: %v", args, err)
		}
	}
	for args, want := range map[string]string{
		"--director=d":                           "--director",
		"--director-ca=f":                        "--director-ca",
		"--director=d:1 --director-ca=f":         "--director-token-file",
		"--director=d:1 --director-token-file=t": "--director-ca",
		"--director=d:1 --director-ca=f --director-insecure --director-token-file=t": "--director-ca",
		"--director-insecure":     "--director-insecure",
		"--director-token-file=t": "--director-token-file",
	} {
		if err := load(args); err == nil || !strings.Contains(err.Error(), want+" ") && !strings.Contains(err.Error(), want+":") {
			t.Errorf("%q: %v, want an error that names %s", args, err, want)
		}
	}
}
