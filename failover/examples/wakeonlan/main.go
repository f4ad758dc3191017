//go:build unix

// Wakeonlan is an example of a program for the failover controller's exec
// provider (docs/failover-exec.md): spare computers in a rack, woken by a magic
// packet and switched off over SSH. It needs nothing but the standard library.
//
// The directory in WAKEONLAN_DIR holds inventory.json, which the operator
// writes:
//
//	{"broadcast": "192.168.1.255:9",
//	 "powerOff": ["ssh", "root@{address}", "poweroff"],
//	 "hosts": [{"name": "spare-1", "zone": "rack-1", "mac": "02:00:00:00:00:01",
//	            "address": "192.168.1.41", "port": 22}]}
//
// and, written by this program, state.json (which host is whose) and scripts/,
// where HOST.sh is what the host has to run as root when it comes up. How it
// gets there is the rack's affair: a unit of its image that fetches the file
// over SSH, or the server that it boots from.
//
// A host runs if its port answers. It is free again when its port no longer
// does, after it was switched off; one that was woken and let go before it came
// up is waited for (bootSeconds of the inventory, 300), and switched off then.
// Lifetimes have to end without the controller as well, so cron runs
// "wakeonlan expire" every few minutes.
package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Getenv("WAKEONLAN_DIR"), os.Stdin, os.Stdout); err != nil {
		// A status other than 0 says: nothing is known, try again.
		fmt.Fprintln(os.Stderr, "wakeonlan:", err)
		os.Exit(1)
	}
}

type owner struct {
	Cluster  string `json:"cluster"`
	Node     string `json:"node"`
	NodeUID  string `json:"nodeUID"`
	Failover string `json:"failover"`
}

type request struct {
	Version            int    `json:"version"`
	Name               string `json:"name"`
	Zone               string `json:"zone"`
	Owner              owner  `json:"owner"`
	Cluster            string `json:"cluster"`
	StartupScript      string `json:"startupScript"`
	MaxLifetimeSeconds int64  `json:"maxLifetimeSeconds"`
}

type machine struct {
	Name       string    `json:"name"`
	Zone       string    `json:"zone"`
	Owner      owner     `json:"owner"`
	State      string    `json:"state"`
	ProviderID string    `json:"providerID"`
	InternalIP string    `json:"internalIP"`
	Created    time.Time `json:"created"`
}

type answer struct {
	Version  int        `json:"version"`
	Error    *refusal   `json:"error,omitempty"`
	Machine  *machine   `json:"machine,omitempty"`
	Machines *[]machine `json:"machines,omitempty"`
}

// refusal is an error that the controller is to know as such.
type refusal struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (r *refusal) Error() string { return r.Message }

type inventory struct {
	Broadcast   string   `json:"broadcast"`
	PowerOff    []string `json:"powerOff"`
	BootSeconds int      `json:"bootSeconds"`
	Hosts       []host   `json:"hosts"`
}

type host struct {
	Name    string `json:"name"`
	Zone    string `json:"zone"`
	MAC     string `json:"mac"`
	Address string `json:"address"`
	Port    int    `json:"port"`
}

// lease is a host that stands in for a node.
type lease struct {
	Host    string    `json:"host"`
	Name    string    `json:"name"`
	Zone    string    `json:"zone"`
	Owner   owner     `json:"owner"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"`
	Leaving bool      `json:"leaving,omitempty"`
	WasUp   bool      `json:"wasUp,omitempty"`
}

type rack struct {
	dir    string
	inv    inventory
	leases []lease
}

func run(args []string, dir string, stdin io.Reader, stdout io.Writer) error {
	if len(args) != 1 || dir == "" {
		return errors.New("usage: WAKEONLAN_DIR=... wakeonlan create|get|list|delete|expire")
	}
	var req request
	if args[0] != "expire" {
		if err := json.NewDecoder(stdin).Decode(&req); err != nil {
			return errors.New("the request is not JSON") // and is not repeated: it holds a token
		}
		if req.Version != 1 {
			return fmt.Errorf("version %d of the protocol is unknown", req.Version)
		}
	}
	r, unlock, err := open(dir)
	if err != nil {
		return err
	}
	defer unlock()
	a := answer{Version: 1}
	switch args[0] {
	case "create":
		err = r.create(req)
	case "get":
		a.Machine, err = r.get(req)
	case "list":
		a.Machines, err = r.list(req.Cluster)
	case "delete":
		err = r.delete(req)
	case "expire":
		return r.expire()
	default:
		return fmt.Errorf("unknown verb %q", args[0])
	}
	var said *refusal
	if errors.As(err, &said) {
		a = answer{Version: 1, Error: said}
	} else if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(a)
}

// open reads the directory, for one run at a time.
func open(dir string) (*rack, func(), error) {
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		lock.Close()
		return nil, nil, err
	}
	r := &rack{dir: dir}
	err = read(filepath.Join(dir, "inventory.json"), &r.inv)
	if err == nil {
		// No state is the first run. State that can't be read is an error: taken
		// for none, it would give away hosts that are in use.
		if err = read(filepath.Join(dir, "state.json"), &r.leases); errors.Is(err, os.ErrNotExist) {
			err = nil
		}
	}
	if err != nil {
		lock.Close()
		return nil, nil, err
	}
	return r, func() { lock.Close() }, nil
}

func read(file string, into any) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// save replaces the state at once, so that a crash leaves the old or the new.
func (r *rack) save() error {
	text, err := json.MarshalIndent(r.leases, "", "  ")
	if err != nil {
		return err
	}
	return write(filepath.Join(r.dir, "state.json"), text)
}

func write(file string, text []byte) error {
	f, err := os.OpenFile(file+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

func (r *rack) find(name, zone string) *lease {
	for i := range r.leases {
		if r.leases[i].Name == name && r.leases[i].Zone == zone {
			return &r.leases[i]
		}
	}
	return nil
}

func (r *rack) host(name string) (host, error) {
	for _, h := range r.inv.Hosts {
		if h.Name == name {
			return h, nil
		}
	}
	return host{}, fmt.Errorf("host %s is in use, and not in the inventory", name)
}

// create writes down first what it then does: a repeated call finds it, and
// does it again.
func (r *rack) create(req request) error {
	l := r.find(req.Name, req.Zone)
	switch {
	case l != nil && l.Owner != req.Owner:
		return &refusal{"Foreign", "the machine belongs to node " + l.Owner.Node}
	case l != nil && (l.Leaving || l.WasUp):
		return nil
	case l == nil:
		free := slices.IndexFunc(r.inv.Hosts, func(h host) bool {
			return h.Zone == req.Zone && !slices.ContainsFunc(r.leases, func(l lease) bool { return l.Host == h.Name })
		})
		if free < 0 {
			return &refusal{"Stockout", "no spare host is left in " + req.Zone}
		}
		now := time.Now().UTC()
		made := lease{Host: r.inv.Hosts[free].Name, Name: req.Name, Zone: req.Zone, Owner: req.Owner, Created: now}
		if req.MaxLifetimeSeconds > 0 {
			made.Expires = now.Add(time.Duration(req.MaxLifetimeSeconds) * time.Second)
		}
		r.leases = append(r.leases, made)
		if err := r.save(); err != nil {
			return err
		}
		l = &r.leases[len(r.leases)-1]
	}
	h, err := r.host(l.Host)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(r.dir, "scripts"), 0o700); err != nil {
		return err
	}
	if err := write(r.script(l.Host), []byte(req.StartupScript)); err != nil {
		return err
	}
	return wake(r.inv.Broadcast, h.MAC)
}

func (r *rack) script(host string) string { return filepath.Join(r.dir, "scripts", host+".sh") }

// wake sends the magic packet: six bytes of ones and the address sixteen times.
func wake(broadcast, mac string) error {
	address, err := net.ParseMAC(mac)
	if err != nil {
		return err
	}
	conn, err := net.Dial("udp", broadcast)
	if err != nil {
		return err
	}
	defer conn.Close()
	packet := slices.Concat(slices.Repeat([]byte{0xff}, 6), slices.Repeat([]byte(address), 16))
	_, err = conn.Write(packet)
	return err
}

func (r *rack) get(req request) (*machine, error) {
	l := r.find(req.Name, req.Zone)
	if l == nil {
		return nil, &refusal{"NotFound", "there is no machine " + req.Name + " in " + req.Zone}
	}
	m, err := r.look(l)
	if err == nil && m == nil {
		return nil, &refusal{"NotFound", req.Name + " is switched off"}
	}
	return m, err
}

// look tells how a machine is; nil if it is gone, and its host free again.
func (r *rack) look(l *lease) (*machine, error) {
	h, err := r.host(l.Host)
	if err != nil {
		return nil, err
	}
	m := &machine{
		Name: l.Name, Zone: l.Zone, Owner: l.Owner, ProviderID: "wakeonlan://" + h.Zone + "/" + h.Name,
		InternalIP: h.Address, Created: l.Created,
	}
	up := answers(h)
	booting := !l.WasUp && time.Since(l.Created) < time.Duration(cmp.Or(r.inv.BootSeconds, 300))*time.Second
	switch {
	case l.Leaving && (up || booting):
		m.State = "Stopping"
	case l.Leaving:
		host := l.Host
		r.leases = slices.DeleteFunc(r.leases, func(l lease) bool { return l.Host == host })
		return nil, r.save()
	case up:
		m.State = "Running"
		if !l.WasUp {
			l.WasUp = true
			return m, r.save()
		}
	case l.WasUp:
		m.State = "Stopped" // somebody pulled the plug
	default:
		m.State = "Creating"
	}
	return m, nil
}

func answers(h host) bool {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(h.Address, strconv.Itoa(h.Port)), time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

func (r *rack) list(cluster string) (*[]machine, error) {
	all := []machine{}
	for _, l := range slices.Clone(r.leases) {
		if l.Owner.Cluster != cluster {
			continue
		}
		m, err := r.look(r.find(l.Name, l.Zone))
		if err != nil {
			return nil, err // not a part of them
		}
		if m != nil {
			all = append(all, *m)
		}
	}
	return &all, nil
}

func (r *rack) delete(req request) error {
	l := r.find(req.Name, req.Zone)
	switch {
	case l == nil:
		return &refusal{"NotFound", "there is no machine " + req.Name + " in " + req.Zone}
	case l.Owner != req.Owner:
		return &refusal{"Foreign", "the machine belongs to node " + l.Owner.Node}
	}
	return r.end(l)
}

// end switches a machine off. It is repeated by expire, for a host that is still
// coming up does not hear it.
func (r *rack) end(l *lease) error {
	h, err := r.host(l.Host)
	if err != nil {
		return err
	}
	up := answers(h)
	l.Leaving, l.WasUp = true, l.WasUp || up
	if err := r.save(); err != nil {
		return err
	}
	if err := os.Remove(r.script(l.Host)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if !up || len(r.inv.PowerOff) == 0 {
		return nil
	}
	var args []string
	for _, a := range r.inv.PowerOff {
		args = append(args, strings.NewReplacer("{address}", h.Address, "{name}", h.Name).Replace(a))
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr // standard output is for the answer
	return cmd.Run()
}

// expire ends the machines whose lifetime is over, and again those that were to
// end.
func (r *rack) expire() error {
	var errs []error
	for i := range r.leases {
		if l := &r.leases[i]; l.Leaving || !l.Expires.IsZero() && time.Now().After(l.Expires) {
			errs = append(errs, r.end(l))
		}
	}
	return errors.Join(errs...)
}
