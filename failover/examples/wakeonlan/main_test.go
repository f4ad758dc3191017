//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"torikumi/failover/cloud"
	"torikumi/failover/cloud/cloudtest"
	"torikumi/failover/internal/execcloud"
	"torikumi/pkg/config"
	"torikumi/pkg/porttest"
)

// TestMain makes this test binary the program itself where the provider starts
// it.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && slices.Contains([]string{"create", "get", "list", "delete"}, os.Args[1]) {
		main()
		return
	}
	os.Exit(m.Run())
}

// harness is a rack of hosts that listen for magic packets and answer on a port
// while they are up.
type harness struct {
	*testing.T
	dir   string
	wol   *net.UDPConn
	inv   inventory
	ports map[string]net.Listener // by host, of those that are up
}

func newHarness(t *testing.T) *harness {
	t.Helper()
	l := &harness{T: t, dir: t.TempDir(), ports: make(map[string]net.Listener)}
	t.Setenv("WAKEONLAN_DIR", l.dir)
	t.Setenv("GORACE", "atexit_sleep_ms=0") // a program under the race detector would take a second to end
	var err error
	if l.wol, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.wol.Close()
		for _, p := range l.ports {
			p.Close()
		}
	})
	l.inv = inventory{Broadcast: l.wol.LocalAddr().String(), PowerOff: []string{"touch", l.dir + "/off-{name}"}}
	for i := range 12 {
		port := int(porttest.Hold(t).Port())
		l.inv.Hosts = append(l.inv.Hosts, host{Name: fmt.Sprint("spare-", i), Zone: fmt.Sprint("rack-", i%2+1),
			MAC: fmt.Sprintf("02:00:00:00:00:%02x", i), Address: "127.0.0.1", Port: port})
	}
	l.write("inventory.json", l.inv)
	return l
}

func (l *harness) write(name string, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		l.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(l.dir, name), text, 0o600); err != nil {
		l.Fatal(err)
	}
}

func (l *harness) leases() []lease {
	r, unlock, err := open(l.dir)
	if err != nil {
		l.Fatal(err)
	}
	unlock()
	return r.leases
}

// settle wakes the hosts that got a magic packet and ends those that were
// switched off. Both have arrived by the time that the program has ended.
func (l *harness) settle() {
	const last = "the last one" // everything from before comes before it
	mark, err := net.DialUDP("udp", nil, l.wol.LocalAddr().(*net.UDPAddr))
	if err != nil {
		l.Fatal(err)
	}
	defer mark.Close()
	if _, err := mark.Write([]byte(last)); err != nil {
		l.Fatal(err)
	}
	_ = l.wol.SetReadDeadline(time.Now().Add(time.Minute))
	buf := make([]byte, 200)
	for {
		n, err := l.wol.Read(buf)
		if err != nil {
			l.Fatal(err)
		}
		if string(buf[:n]) == last {
			break
		}
		for _, h := range l.inv.Hosts {
			mac, _ := net.ParseMAC(h.MAC)
			if bytes.Equal(buf[:n], slices.Concat(bytes.Repeat([]byte{0xff}, 6), bytes.Repeat(mac, 16))) && l.ports[h.Name] == nil {
				p, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", h.Port))
				if err != nil {
					l.Fatal(err)
				}
				l.ports[h.Name] = p
			}
		}
	}
	l.run("expire", "") // as cron does
	for _, h := range l.inv.Hosts {
		if os.Remove(filepath.Join(l.dir, "off-"+h.Name)) == nil {
			l.unplug(h.Name)
		}
	}
}

func (l *harness) unplug(host string) {
	if p := l.ports[host]; p != nil {
		p.Close()
		delete(l.ports, host)
	}
}

func (l *harness) provider(program string) *execcloud.Provider {
	var cfg execcloud.Config
	config.Default(&cfg)
	cfg.Program, cfg.Zones, cfg.Environment = program, []string{"rack-1", "rack-2"}, []string{"WAKEONLAN_DIR", "GORACE"}
	p, err := execcloud.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		l.Fatal(err)
	}
	return p
}

func TestConformance(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cloudtest.Run(t, func(t *testing.T) cloudtest.Env {
		l := newHarness(t)
		return cloudtest.Env{
			Provider: l.provider(self), Zones: []string{"rack-1", "rack-2"}, Finish: l.settle,
			Live: func() int { return len(l.leases()) - l.leavingDown() },
			Stop: func(r cloud.Ref) {
				for _, one := range l.leases() {
					if one.Name == r.Name && one.Zone == r.Zone {
						// It has been seen up before.
						if err := run([]string{"get"}, l.dir, l.request(one), new(bytes.Buffer)); err != nil {
							t.Fatal(err)
						}
						l.unplug(one.Host)
					}
				}
			},
		}
	})
}

// leavingDown counts the hosts that are off again, and that nobody has looked
// at yet.
func (l *harness) leavingDown() int {
	n := 0
	for _, one := range l.leases() {
		if one.Leaving && l.ports[one.Host] == nil {
			n++
		}
	}
	return n
}

func (l *harness) request(one lease) *bytes.Buffer {
	text, err := json.Marshal(request{Version: 1, Name: one.Name, Zone: one.Zone, Owner: one.Owner})
	if err != nil {
		l.Fatal(err)
	}
	return bytes.NewBuffer(text)
}

func spec(name string) string {
	return `{"version":1,"name":"` + name + `","zone":"rack-1","owner":{"cluster":"c","node":"n","nodeUID":"u","failover":"f"},` +
		`"requestID":"r","startupScript":"#!/bin/sh\n","maxLifetimeSeconds":3600}`
}

func (l *harness) run(verb, in string) string {
	l.Helper()
	var out bytes.Buffer
	if err := run([]string{verb}, l.dir, strings.NewReader(in), &out); err != nil {
		l.Fatal(err)
	}
	return out.String()
}

func TestScriptAndStockout(t *testing.T) {
	l := newHarness(t)
	for i := range 6 {
		if out := l.run("create", spec(fmt.Sprint("m-", i))); out != "{\"version\":1}\n" {
			t.Fatal(out)
		}
	}
	if out := l.run("create", spec("m-6")); !strings.Contains(out, `"code":"Stockout"`) {
		t.Error(out)
	}
	if text, err := os.ReadFile(filepath.Join(l.dir, "scripts", "spare-0.sh")); err != nil || string(text) != "#!/bin/sh\n" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestExpire(t *testing.T) {
	l := newHarness(t)
	l.run("create", spec("m"))
	l.settle()
	l.run("expire", "")
	if l.leases()[0].Leaving {
		t.Fatal("ended early")
	}
	over := l.leases()
	over[0].Expires = time.Now().Add(-time.Second)
	l.write("state.json", over)
	l.run("expire", "")
	l.settle()
	if out := l.run("get", spec("m")); !strings.Contains(out, `"code":"NotFound"`) {
		t.Error(out)
	}
	if len(l.leases()) != 0 {
		t.Error("the host is not free")
	}
}

// TestLetGoWhileBooting: a host that is still coming up is not free, and does
// not find a script when it is up.
func TestLetGoWhileBooting(t *testing.T) {
	l := newHarness(t)
	l.run("create", spec("m"))
	l.run("delete", spec("m"))
	if out := l.run("get", spec("m")); !strings.Contains(out, `"state":"Stopping"`) {
		t.Error(out)
	}
	if _, err := os.Stat(filepath.Join(l.dir, "scripts", "spare-0.sh")); err == nil {
		t.Error("its script is still there")
	}
	l.settle()
	if out := l.run("get", spec("m")); !strings.Contains(out, `"code":"NotFound"`) {
		t.Error(out)
	}
	// One that never came up is free after a while.
	l.run("create", spec("n"))
	l.run("delete", spec("n"))
	old := l.leases()
	old[0].Created = time.Now().Add(-time.Hour)
	l.write("state.json", old)
	if out := l.run("get", spec("n")); !strings.Contains(out, `"code":"NotFound"`) {
		t.Error(out)
	}
}

// TestStateUnreadable: no host is given away, and none is absent.
func TestStateUnreadable(t *testing.T) {
	l := newHarness(t)
	if err := os.WriteFile(filepath.Join(l.dir, "state.json"), []byte("["), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"create", "get", "list", "delete"} {
		if err := run([]string{verb}, l.dir, strings.NewReader(spec("m")), new(bytes.Buffer)); err == nil {
			t.Errorf("%s went on", verb)
		}
	}
}
