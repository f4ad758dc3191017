package miniagones

import (
	"io"
	"strings"
	"testing"

	"torikumi/pkg/config"
)

func load(args ...string) error {
	return config.Load(name, "", new(Config), args, func(string) string { return "" }, io.Discard)
}

func TestConfig(t *testing.T) {
	for _, args := range []string{"--game-server=./server", "--virtual=3", "--virtual=3 --labels=a=b,c="} {
		if err := load(strings.Fields(args)...); err != nil {
			t.Errorf("%s: %v", args, err)
		}
	}
	for args, want := range map[string]string{
		"":                              "--game-server",
		"--virtual=3 --game-server=x":   "--game-server",
		"--virtual=-1 --game-server=x":  "--virtual",
		"--virtual=3 --labels=a":        "--labels",
		"--virtual=3 --ready=0":         "--ready",
		"--virtual=3 --max=1":           "--max",
		"--virtual=3 --host=here":       "--host",
		"--virtual=3 --grpc-listen=x":   "--grpc-listen",
		"--virtual=3 --grace=0s":        "--grace",
		"--virtual=3 --port-protocol=X": "--port-protocol",
		"--virtual=3 --health-period=0": "--health-period",
		"--virtual=3 --log-format=loud": "--log-format",
	} {
		if err := load(strings.Fields(args)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error that names %s", args, err, want)
		}
	}
}
