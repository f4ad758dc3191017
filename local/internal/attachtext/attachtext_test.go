package attachtext

import (
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
)

// TestBanner: it says how to start a server, and that players do not come here by themselves.
func TestBanner(t *testing.T) {
	for _, c := range []struct {
		host     string
		has, not []string
	}{
		{"127.0.0.1", []string{
			"127.0.0.1:7777 is attached to a torikumi up. Ctrl-C detaches it.\n", "\n  PORT=7777\n", "\nplayers come\n",
			"\n  bin/torikumi server --udp-listen=127.0.0.1:7777 --sdk-grpc-port=9357 --gate=http://127.0.0.1:8085\n",
		}, []string{"--host"}},
		{"192.0.2.7", []string{"192.0.2.7 (--host)", "--udp-listen=0.0.0.0:7777"}, nil}, // a documentation's
	} {
		var out strings.Builder
		Server{Host: c.host, Port: 7777, SDKGRPC: 9357, SDKHTTP: 9358, Gate: 8085}.Banner(&out, "a torikumi up", "bin/torikumi", []string{"PORT=7777"}, "players come")
		for _, want := range c.has {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: it lacks %q:\n%s", c.host, want, &out)
			}
		}
		for _, not := range c.not {
			if strings.Contains(out.String(), not) {
				t.Errorf("%s: it has %q:\n%s", c.host, not, &out)
			}
		}
	}
}

// TestPortTaken: which setting a taken port is of, also if another process says so.
func TestPortTaken(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	port := lis.Addr().(*net.TCPAddr).Port
	_, taken := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if taken == nil {
		t.Fatal("the port can be had twice")
	}
	for setting, s := range map[string]Server{
		"--sdk-grpc-port": {SDKGRPC: port, SDKHTTP: 2, Gate: 3}, "--sdk-http-port": {SDKGRPC: 1, SDKHTTP: port, Gate: 3}, "--gate-port": {SDKGRPC: 1, SDKHTTP: 2, Gate: port},
	} {
		for _, err := range []error{taken, errors.New("said elsewhere: " + taken.Error())} {
			got := s.PortTaken(err)
			if !errors.Is(got, err) || !strings.Contains(got.Error(), ". "+setting+" chooses another") || !strings.Contains(got.Error(), "all four") {
				t.Errorf("%s: %v", setting, got)
			}
		}
	}
	if got := (Server{SDKGRPC: 1, SDKHTTP: 2, Gate: 3}).PortTaken(taken); got != taken {
		t.Errorf("a port of others: %v", got)
	}
}
