// Package virtual is a backend of miniagones whose servers are addresses
// and nothing else, so that thousands of them fit on a laptop. Load tests of
// everything before the game server on a player's path use it.
package virtual

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"torikumi/miniagones/internal/fleet"
)

// Ports from firstPort on are given out, portsPerAddress on each address.
const (
	firstPort       = 7000
	portsPerAddress = 1000
	hosts           = 1 << 17
)

// Backend hands out addresses in 198.18.0.0/15, which is set aside for load
// tests (RFC 2544) and leads nowhere. The zero value is ready for use. No two
// servers have the same address and port at the same time.
type Backend struct {
	mu   sync.Mutex
	next int
	free []int
}

// Silent is true: there is nobody who could speak the SDK.
func (b *Backend) Silent() bool { return true }

// Place gives out an address and port.
func (b *Backend) Place(context.Context, fleet.Spec) (fleet.Place, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var slot int
	if n := len(b.free); n > 0 {
		slot, b.free = b.free[n-1], b.free[:n-1]
	} else {
		if b.next == hosts*portsPerAddress {
			return fleet.Place{}, fmt.Errorf("all %d virtual addresses are in use", b.next)
		}
		slot = b.next
		b.next++
	}
	host := slot / portsPerAddress
	address := netip.AddrFrom4([4]byte{198, 18 + byte(host>>16), byte(host >> 8), byte(host)})
	return fleet.Place{
		Address:  address.String(),
		NodeName: "virtual",
		Ports:    []fleet.Port{{Name: "default", Port: int32(firstPort + slot%portsPerAddress)}},
		Release: func() {
			b.mu.Lock()
			b.free = append(b.free, slot)
			b.mu.Unlock()
		},
	}, nil
}

// Start makes a server that runs until it is stopped.
func (b *Backend) Start(context.Context, fleet.Spec) (fleet.Instance, error) {
	return &instance{done: make(chan struct{})}, nil
}

// Close does nothing: the backend holds nothing.
func (b *Backend) Close() error { return nil }

type instance struct {
	once sync.Once
	done chan struct{}
}

func (i *instance) Stop(time.Duration)    { i.once.Do(func() { close(i.done) }) }
func (i *instance) Done() <-chan struct{} { return i.done }
func (i *instance) Err() error            { return nil }
