package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

const forwardingFile = "/proc/sys/net/ipv4/ip_forward"

// claim takes the first index that is free on this machine: the one whose
// bridge it could make.
func (c *Cluster) claim(ctx context.Context) error {
	for i := range indices {
		nodes, pods := subnet(c.options.NodeNet, 24, i), subnet(c.options.PodNet, 16, i)
		if !c.options.NodeNet.Contains(nodes.Addr()) || !c.options.PodNet.Contains(pods.Addr()) {
			break
		}
		bridge := (&state{Index: i}).bridge()
		if _, err := os.Stat("/sys/class/net/" + bridge); err == nil {
			continue
		}
		if err := unused(ctx, nodes, pods); err != nil {
			return err
		}
		err := c.change(func(s *state) { s.Index, s.NodeNet, s.PodNet = i, nodes, pods })
		if err != nil {
			return err
		}
		_, err = run(ctx, "ip", "link", "add", "name", bridge, "type", "bridge")
		if err == nil {
			_, err = run(ctx, "ip", "link", "set", bridge, "alias", c.state.alias(c.Folder))
			return err
		}
		if !strings.Contains(err.Error(), "File exists") { // else another was faster
			return err
		}
	}
	return fmt.Errorf("all networks in %s and %s are taken by clusters", c.options.NodeNet, c.options.PodNet)
}

// unused reports which of the networks this machine has a route into already.
func unused(ctx context.Context, nets ...netip.Prefix) error {
	out, err := run(ctx, "ip", "-json", "-4", "route", "show", "table", "all")
	if err != nil {
		return err
	}
	var routes []struct{ Dst, Dev string }
	if err := json.Unmarshal([]byte(out), &routes); err != nil {
		return fmt.Errorf("ip route: %w", err)
	}
	for _, r := range routes {
		if r.Dst == "default" {
			continue
		}
		used, err := netip.ParsePrefix(r.Dst)
		if err != nil {
			addr, err := netip.ParseAddr(r.Dst)
			if err != nil {
				continue // such as an IPv6 one
			}
			used = netip.PrefixFrom(addr, addr.BitLen())
		}
		for _, net := range nets {
			if net.Overlaps(used) {
				return fmt.Errorf("the network %s is in use: this machine reaches %s by %s; choose others for nodes and pods", net, r.Dst, r.Dev)
			}
		}
	}
	return nil
}

// buildNetwork makes the bridge ready, and lets what is behind it out.
func (c *Cluster) buildNetwork(ctx context.Context) error {
	s := c.state
	if _, err := run(ctx, "ip", "addr", "add", netip.PrefixFrom(host(s.NodeNet, 1), s.NodeNet.Bits()).String(), "dev", s.bridge()); err != nil {
		return err
	}
	if _, err := run(ctx, "ip", "link", "set", s.bridge(), "up"); err != nil {
		return err
	}
	was, err := os.ReadFile(forwardingFile)
	if err != nil {
		return err
	}
	if err := c.change(func(s *state) { s.Forwarding = strings.TrimSpace(string(was)) }); err != nil {
		return err
	}
	if err := os.WriteFile(forwardingFile, []byte("1"), 0o644); err != nil {
		return err
	}
	if err := s.admit(ctx); err != nil {
		return err
	}
	return nft(ctx, fmt.Sprintf(`table inet %[1]s {
	chain postrouting {
		type nat hook postrouting priority srcnat;
		ip saddr { %[2]s, %[3]s } oifname != %[1]q masquerade
	}
	# An address of a Service that a node has no rule for yet is nowhere, not
	# somebody's outside.
	chain forward {
		type filter hook forward priority filter;
		ip saddr { %[2]s, %[3]s } ip daddr %[4]s reject
	}
}
`, s.table(), s.NodeNet, s.PodNet, serviceNet))
}

func nft(ctx context.Context, rules string) error {
	cmd := exec.CommandContext(ctx, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	_, err := output(cmd)
	return err
}

// wire gives a node its cable and its address.
func (c *Cluster) wire(ctx context.Context, n node, pid int) error {
	s := c.state
	id, veth := strconv.Itoa(pid), s.veth(n.Number)
	inside := []string{"nsenter", "--target", id, "--net", "ip"}
	for _, args := range [][]string{
		{"ip", "link", "add", veth, "type", "veth", "peer", "name", "eth0", "netns", id},
		{"ip", "link", "set", veth, "master", s.bridge(), "up"},
		append(inside, "link", "set", "lo", "up"),
		append(inside, "addr", "add", netip.PrefixFrom(s.address(n), s.NodeNet.Bits()).String(), "dev", "eth0"),
		append(inside, "link", "set", "eth0", "up"),
		append(inside, "route", "add", "default", "via", host(s.NodeNet, 1).String()),
	} {
		if _, err := run(ctx, args[0], args[1:]...); err != nil {
			return err
		}
	}
	return nil
}

// route makes the pods of each node known to the host and to the other nodes.
func (c *Cluster) route(ctx context.Context, pods map[string]netip.Prefix) error {
	c.mu.Lock()
	nodes := append([]node(nil), c.state.Nodes...)
	c.mu.Unlock()
	commands := func(self string) string {
		var b strings.Builder
		for _, n := range nodes {
			if net, ok := pods[n.Name]; ok && n.Name != self {
				fmt.Fprintf(&b, "route replace %s via %s\n", net, c.state.address(n))
			}
		}
		return b.String()
	}
	batch := func(cmd *exec.Cmd, self string) error {
		cmd.Stdin = strings.NewReader(commands(self))
		_, err := output(cmd)
		return err
	}
	errs := []error{batch(exec.CommandContext(ctx, "ip", "-batch", "-"), "")}
	for _, n := range nodes {
		cmd, err := c.Command(ctx, n.Name, "ip", "-batch", "-")
		if err == nil { // else it has no power
			errs = append(errs, batch(cmd, n.Name))
		}
	}
	return errors.Join(errs...)
}

// removeNetwork takes away what the cluster has made. What is not there is no
// error.
func (s *state) removeNetwork(ctx context.Context) error {
	links, err := run(ctx, "ip", "-json", "link", "show")
	if err != nil {
		return err
	}
	var found []struct {
		Name  string `json:"ifname"`
		Alias string `json:"ifalias"`
	}
	if err := json.Unmarshal([]byte(links), &found); err != nil {
		return fmt.Errorf("ip link: %w", err)
	}
	var errs []error
	others := false
	for _, l := range found {
		switch {
		case l.Name == s.bridge() || strings.HasPrefix(l.Name, s.bridge()+"n"):
			_, err := run(ctx, "ip", "link", "delete", l.Name)
			// A cable goes by itself, soon after the node that had its other end.
			if _, gone := os.Stat("/sys/class/net/" + l.Name); gone == nil {
				errs = append(errs, err)
			}
		case strings.HasPrefix(l.Alias, "torikumi-cluster "):
			others = true
		}
	}
	tables, err := run(ctx, "nft", "list", "tables")
	errs = append(errs, err)
	for line := range strings.Lines(tables) {
		if strings.TrimSpace(line) == "table inet "+s.table() {
			errs = append(errs, nft(ctx, "delete table inet "+s.table()))
		}
	}
	errs = append(errs, s.dismiss(ctx))
	if s.Forwarding != "" && !others {
		errs = append(errs, os.WriteFile(forwardingFile, []byte(s.Forwarding), 0o644))
	}
	return errors.Join(errs...)
}

// owned reports whether the bridge is this cluster's, or nobody's: it may have
// been removed, and a crash may have come before it was marked.
func (s *state) owned(folder string) bool {
	alias, err := os.ReadFile("/sys/class/net/" + s.bridge() + "/ifalias")
	mark := strings.TrimSpace(string(alias))
	return err != nil || mark == "" || mark == s.alias(folder)
}
