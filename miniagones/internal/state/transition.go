package state

import (
	"slices"

	"torikumi/pkg/agones"
)

// Input is what happens to a server and may change its state.
type Input string

// What happens to a server. What its program does comes through its SDK.
const (
	// InputPlaced: it has an address, or at least its ports.
	InputPlaced Input = "placed"
	// InputStarting: what it needs is there, its program is next.
	InputStarting Input = "starting"
	// InputStarted: its program runs, or is about to on a known machine.
	InputStarted Input = "started"
	// InputRequestReady: SDK.Ready, or a reservation that is over.
	InputRequestReady Input = "request ready"
	// InputReady grants a RequestReady.
	InputReady Input = "ready"
	// InputAllocate: SDK.Allocate, or an allocation.
	InputAllocate Input = "allocate"
	// InputReserve: SDK.Reserve.
	InputReserve Input = "reserve"
	// InputShutdown: SDK.Shutdown.
	InputShutdown Input = "shutdown"
	// InputExited: its program has ended unasked, or gives no sign of life.
	InputExited Input = "exited"
	// InputFailed: it could not be started.
	InputFailed Input = "failed"
)

// beforeSDK are the states before a server's program has spoken, in order.
var beforeSDK = []State{agones.PortAllocation, agones.Creating, agones.Starting, agones.Scheduled}

// After returns the state that an input leads to. moved is false if it has no
// effect: nothing leads out of a state that has ended, and a start that is
// reported late does not lead back.
func (s State) After(in Input) (next State, moved bool) {
	if s.ended() {
		return s, false
	}
	switch in {
	case InputPlaced:
		return s.forward(agones.Creating)
	case InputStarting:
		return s.forward(agones.Starting)
	case InputStarted:
		return s.forward(agones.Scheduled)
	case InputReady:
		if s != agones.RequestReady {
			return s, false
		}
		return agones.Ready, true
	case InputRequestReady:
		return agones.RequestReady, true
	case InputAllocate:
		return agones.Allocated, true
	case InputReserve:
		return agones.Reserved, true
	case InputShutdown:
		return agones.Shutdown, true
	case InputExited:
		return agones.Unhealthy, true
	case InputFailed:
		return agones.Error, true
	}
	return s, false
}

func (s State) forward(to State) (State, bool) {
	if slices.Contains(beforeSDK[:slices.Index(beforeSDK, to)], s) {
		return to, true
	}
	return s, false
}

// Ended reports whether nothing leads out of the state.
func (s State) Ended() bool { return s.ended() }

// BeforeReady reports whether a server in the state is on its way to Ready.
func (s State) BeforeReady() bool { return s.beforeReady() }
