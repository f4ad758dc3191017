package controller_test

import (
	"io"
	"strings"
	"testing"

	"torikumi/miniagones/kubernetes/controller"
	"torikumi/pkg/config"
)

func TestConfig(t *testing.T) {
	load := func(args string) error {
		return config.Load("miniagones", "", new(controller.Config), strings.Fields(args), func(string) string { return "" }, io.Discard)
	}
	for _, args := range []string{
		"--sidecar-image=x", "--pod=p --ports=1-65535", "--pod=p --self-signed --client-secrets=a/b,c/d", "--pod=p --allocator-insecure",
	} {
		if err := load(args); err != nil {
			t.Errorf("%s: %v", args, err)
		}
	}
	for args, want := range map[string]string{
		"":                                           "--pod",
		"--pod=p --sidecar-image=x":                  "--pod",
		"--pod=p --ports=8000-7000":                  "--ports",
		"--pod=p --ports=0-7000":                     "--ports",
		"--pod=p --ports=7000-65536":                 "--ports",
		"--pod=p --ports=7000":                       "--ports",
		"--pod=p --backoff-max=1ms":                  "--backoff-max",
		"--pod=p --client-secrets=a/b":               "--client-secrets",
		"--pod=p --start-timeout=0s":                 "--start-timeout",
		"--pod=p --namespace=":                       "--namespace",
		"--pod=p --grpc-listen=nowhere":              "--grpc-listen",
		"--pod=p --self-signed --client-secrets=a":   "--client-secrets",
		"--pod=p --self-signed --allocator-insecure": "--self-signed",
	} {
		if err := load(args); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error that names %s", args, err, want)
		}
	}
}
