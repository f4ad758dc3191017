package cluster

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// Status describes the cluster for a person.
func (c *Cluster) Status() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "cluster\t%s, Kubernetes %s\n", c.state.Name, c.state.Version)
	power := "runs"
	if _, err := c.machine(controlPlane); err != nil {
		power = "does not run"
	}
	fmt.Fprintf(w, "API server\thttps://%s, %s\n", c.state.apiServer(), power)
	for _, n := range c.Nodes() {
		state := "runs"
		switch {
		case !n.Power:
			state = "has no power"
		case !n.Plugged:
			state = "runs, unplugged"
		}
		fmt.Fprintf(w, "node %s\t%s, %s, process %d\n", n.Name, n.IP, state, n.PID)
	}
	version := "v1"
	if _, unified, err := hierarchies(); err != nil {
		version = err.Error()
	} else if unified {
		version = "v2"
	}
	fmt.Fprintf(w, "cgroups\t%s\n", version)
	fmt.Fprintf(w, "pods\t%s, services %s, DNS %s\n", c.state.PodNet, serviceNet, dnsAddress)
	policies := "enforced"
	if c.state.Open {
		policies = "ignored"
	}
	fmt.Fprintf(w, "network policies\t%s\n", policies)
	fmt.Fprintf(w, "registry\thttp://%s, for this machine and the nodes\n", c.state.registry())
	fmt.Fprintf(w, "runtimes\trunc, kata (no Kata Containers: it is runc)\n")
	fmt.Fprintf(w, "logs\t%s\n", c.path("machines", "*", "log"))
	_ = w.Flush() // to memory
	return b.String()
}
