//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"

	"torikumi/test/cluster/cluster"
)

// cloud makes machines of the cluster's harness for failover, which asks it by
// testdata/machines.
type cloud struct {
	*testing.T
	cluster *cluster.Cluster
	url     string

	mu       sync.Mutex
	machines map[string]*machine
	joins    sync.WaitGroup
}

type machine struct {
	Name       string          `json:"name"`
	Zone       string          `json:"zone"`
	Owner      json.RawMessage `json:"owner"`
	State      string          `json:"state"`
	ProviderID string          `json:"providerID"`
}

// question is that of each verb.
type question struct {
	Name          string          `json:"name"`
	Zone          string          `json:"zone"`
	Owner         json.RawMessage `json:"owner"`
	StartupScript string          `json:"startupScript"`
}

type answer struct {
	Version  int        `json:"version"`
	Machine  *machine   `json:"machine,omitempty"`
	Machines []*machine `json:"machines,omitempty"`
	Error    *problem   `json:"error,omitempty"`
}

type problem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// startCloud serves on the cluster's bridge until the end of the test.
func startCloud(t *testing.T, c *cluster.Cluster) *cloud {
	t.Helper()
	host, _, err := net.SplitHostPort(c.Registry())
	if err != nil {
		t.Fatal(err)
	}
	lis, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	cl := &cloud{T: t, cluster: c, url: "http://" + lis.Addr().String(), machines: map[string]*machine{}}
	server := &http.Server{Handler: cl}
	go func() { _ = server.Serve(lis) }()
	t.Cleanup(func() {
		_ = server.Close()
		cl.joins.Wait()
	})
	return cl
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var q question
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a := c.answer(r.URL.Path[1:], q)
	a.Version = 1
	_ = json.NewEncoder(w).Encode(a)
}

func (c *cloud) answer(verb string, q question) answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.machines[q.Name]
	switch {
	case verb == "list":
		all := make([]*machine, 0, len(c.machines))
		for _, m := range c.machines {
			all = append(all, m)
		}
		return answer{Machines: all}
	case verb == "create" && m == nil:
		c.machines[q.Name] = &machine{q.Name, q.Zone, q.Owner, "Running", "machines://" + q.Zone + "/" + q.Name}
		c.joins.Go(func() { c.boot(q) })
		return answer{}
	case verb == "create":
		return answer{}
	case m == nil:
		return answer{Error: &problem{"NotFound", "there is no such machine"}}
	case verb == "get":
		return answer{Machine: m}
	case verb == "delete":
		if err := c.cluster.KillNode(c.Context(), q.Name); err != nil {
			return answer{Error: &problem{"Transient", err.Error()}}
		}
		delete(c.machines, q.Name)
		return answer{}
	}
	return answer{Error: &problem{"Transient", "no such verb: " + verb}}
}

// boot runs a machine, which joins by its startup script.
func (c *cloud) boot(q question) {
	err := c.cluster.AddNode(c.Context(), cluster.NodeOptions{Name: q.Name, Script: q.StartupScript})
	if err != nil && !errors.Is(err, context.Canceled) {
		c.Errorf("machine %s: %v", q.Name, err)
	}
}

// only is the name of the one machine that there is.
func (c *cloud) only() (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name := range c.machines {
		if len(c.machines) == 1 {
			return name, nil
		}
	}
	return "", fmt.Errorf("%d machines", len(c.machines))
}
