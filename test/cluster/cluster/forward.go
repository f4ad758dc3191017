package cluster

import (
	"context"
	"errors"
	"os"
	"strings"
)

// Docker lets the host forward nothing that it does not know. Where there is
// such a filter, the cluster's traffic is let through it.

// passes are the rules for that in iptables' chain FORWARD.
func (s *state) passes() [][]string {
	var rules [][]string
	for _, way := range []string{"--in-interface", "--out-interface"} {
		rules = append(rules, []string{way, s.bridge(), "-m", "comment", "--comment", "torikumi-cluster", "-j", "ACCEPT"})
	}
	return rules
}

// filtered reports whether iptables filters on this machine. To ask iptables
// itself would make its tables.
func filtered(ctx context.Context) (bool, error) {
	if legacy, err := os.ReadFile("/proc/thread-self/net/ip_tables_names"); err == nil && strings.Contains(string(legacy), "filter") {
		return true, nil
	}
	tables, err := run(ctx, "nft", "list", "tables", "ip")
	return strings.Contains(tables, "table ip filter"), err
}

func (s *state) admit(ctx context.Context) error {
	if filters, err := filtered(ctx); err != nil || !filters {
		return err
	}
	for _, rule := range s.passes() {
		if _, err := run(ctx, "iptables", append([]string{"--wait", "--insert", "FORWARD"}, rule...)...); err != nil {
			return err
		}
	}
	return nil
}

// dismiss takes them away again, as often as they are there.
func (s *state) dismiss(ctx context.Context) error {
	filters, err := filtered(ctx)
	if err != nil || !filters {
		return err
	}
	var errs []error
	for _, rule := range s.passes() {
		for {
			if _, err := run(ctx, "iptables", append([]string{"--wait", "--check", "FORWARD"}, rule...)...); err != nil {
				break // there is none
			}
			if _, err := run(ctx, "iptables", append([]string{"--wait", "--delete", "FORWARD"}, rule...)...); err != nil {
				errs = append(errs, err)
				break
			}
		}
	}
	return errors.Join(errs...)
}
