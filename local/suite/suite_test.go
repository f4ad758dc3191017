package suite

import (
	"slices"
	"testing"

	"torikumi/miniagones/miniagones"
)

// Players are sent to ServerHost, so the reference server has to listen there.
func TestServerListen(t *testing.T) {
	for host, want := range map[string]string{
		"127.0.0.1": "SERVER_UDP_LISTEN=127.0.0.1:7000",
		"::1":       "SERVER_UDP_LISTEN=[::1]:7000",
		"10.1.2.3":  "SERVER_UDP_LISTEN=10.1.2.3:7000",
	} {
		s := &Suite{opts: Options{ServerHost: host}}
		spec := miniagones.Spec{Place: miniagones.Place{Ports: []miniagones.Port{{Name: "default", Port: 7000}}}}
		if got := s.serverListen(spec); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: %v, want %s", host, got, want)
		}
	}
}
