package pod

import (
	"fmt"
	"math/rand/v2"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	v1 "torikumi/miniagones/kubernetes/api/v1"
	"torikumi/pkg/agones"
)

// Ports gives host ports to game servers. As long as there are free ones, no two
// servers have the same, wherever they run: then nothing keeps a pod from any
// node. After that a port may be given once for each node. It is safe for
// concurrent use.
type Ports struct {
	first, last int32

	mu     sync.Mutex
	used   map[int32]int
	owners map[types.UID][]int32
}

// NewPorts makes a range with both ends.
func NewPorts(first, last int32) *Ports {
	return &Ports{first: first, last: last, used: make(map[int32]int), owners: make(map[types.UID][]int32)}
}

// Note takes the ports that a server has already.
func (p *Ports) Note(gs *v1.GameServer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.owners[gs.UID]; known {
		return
	}
	if _, elsewhere := gs.Annotations[agones.DevAddressAnnotation]; elsewhere {
		return // its port is not one of a node
	}
	for _, port := range gs.Spec.Ports {
		if port.HostPort != 0 {
			p.take(gs.UID, port.HostPort)
		}
	}
}

func (p *Ports) take(owner types.UID, port int32) {
	p.owners[owner] = append(p.owners[owner], port)
	p.used[port]++
}

// Assign gives a server the host ports that it lacks. nodes is how many times a
// port may be given.
func (p *Ports) Assign(gs *v1.GameServer, nodes int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free(gs.UID)
	for i := range gs.Spec.Ports {
		port := &gs.Spec.Ports[i]
		if port.PortPolicy != v1.Static && port.HostPort == 0 {
			found, ok := p.find(gs.UID, nodes)
			if !ok {
				p.free(gs.UID)
				return fmt.Errorf("no free port from %d to %d on %d nodes", p.first, p.last, nodes)
			}
			port.HostPort = found
		}
		if port.PortPolicy == v1.Passthrough {
			port.ContainerPort = port.HostPort
		}
		p.take(gs.UID, port.HostPort)
	}
	return nil
}

// find returns the least used port, from a random one on, so that a port that was
// just given back rests.
func (p *Ports) find(owner types.UID, nodes int) (best int32, ok bool) {
	own := make(map[int32]bool)
	for _, port := range p.owners[owner] {
		own[port] = true
	}
	size := p.last - p.first + 1
	start := rand.Int32N(size)
	for i := range size {
		port := p.first + (start+i)%size
		if own[port] || p.used[port] >= max(nodes, 1) || (ok && p.used[port] >= p.used[best]) {
			continue
		}
		best, ok = port, true
		if p.used[port] == 0 {
			break
		}
	}
	return best, ok
}

// Free gives a server's ports back.
func (p *Ports) Free(owner types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free(owner)
}

func (p *Ports) free(owner types.UID) {
	for _, port := range p.owners[owner] {
		if p.used[port]--; p.used[port] == 0 {
			delete(p.used, port)
		}
	}
	delete(p.owners, owner)
}
