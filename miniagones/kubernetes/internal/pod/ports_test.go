package pod_test

import (
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	v1 "torikumi/miniagones/kubernetes/api/v1"
	"torikumi/miniagones/kubernetes/internal/pod"
)

func wanting(name string, policies ...v1.PortPolicy) *v1.GameServer {
	gs := &v1.GameServer{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)}}
	for _, p := range policies {
		port := v1.GameServerPort{PortPolicy: p}
		if p == v1.Static {
			port.HostPort = 9
		}
		gs.Spec.Ports = append(gs.Spec.Ports, port)
	}
	return gs
}

func TestAssign(t *testing.T) {
	p := pod.NewPorts(7000, 7001)
	gs := wanting("a", v1.Passthrough, v1.Static)
	if err := p.Assign(gs, 1); err != nil {
		t.Fatal(err)
	}
	if a := gs.Spec.Ports[0]; a.HostPort < 7000 || a.HostPort > 7001 || a.ContainerPort != a.HostPort {
		t.Errorf("passed through: %+v", a)
	}
	if gs.Spec.Ports[1].HostPort != 9 {
		t.Errorf("static: %+v", gs.Spec.Ports[1])
	}
	two := wanting("b", v1.Dynamic, v1.Dynamic)
	if err := p.Assign(two, 1); err == nil {
		t.Errorf("three of two ports: %+v", two.Spec.Ports)
	}
	// What failed keeps nothing.
	if err := p.Assign(wanting("c", v1.Dynamic), 1); err != nil {
		t.Error(err)
	}
	if err := p.Assign(wanting("d", v1.Dynamic, v1.Dynamic), 2); err != nil {
		t.Errorf("the same on a second node: %v", err)
	}
}

// TestPorts: no port is given more often than there are nodes, none twice to a
// server, none twice at all while another is free, and none is lost.
func TestPorts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const first, last = 7000, 7009
		p, nodes := pod.NewPorts(first, last), rapid.IntRange(1, 3).Draw(t, "nodes")
		held, used := make(map[string]*v1.GameServer), make(map[int32]int)
		var order []string
		for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
			if len(order) > 0 && rapid.Bool().Draw(t, "free") {
				gs := held[order[0]]
				order = order[1:]
				p.Free(gs.UID)
				for _, port := range gs.Spec.Ports {
					used[port.HostPort]--
				}
				continue
			}
			gs := wanting(fmt.Sprint(i), v1.Dynamic)
			err := p.Assign(gs, nodes)
			total := 0
			for _, n := range used {
				total += n
			}
			if err != nil {
				if total < (last-first+1)*nodes {
					t.Fatalf("%d of %d in use: %v", total, (last-first+1)*nodes, err)
				}
				continue
			}
			port := gs.Spec.Ports[0].HostPort
			if used[port]++; used[port] > nodes || (used[port] > 1 && total < last-first+1) {
				t.Fatalf("port %d is given %d times, %d ports are in use", port, used[port], total)
			}
			held[gs.Name], order = gs, append(order, gs.Name)
		}
	})
}
