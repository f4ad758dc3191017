package cloudtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"torikumi/failover/cloud"
)

// Fault is something that goes wrong with a call of Memory. Which: all, but for
// the fields that are set.
type Fault struct {
	Call Call
	Zone string
	Name string
	// Times is how often; once if 0, for good if below 0.
	Times int

	// Err is returned: one of the contract's, or any other for a transient one.
	Err error
	// Commit carries the call out before: a lost reply.
	Commit bool
	// Later accepts a Create, and lets it fail with Err when it is carried out.
	Later bool
	// Hang returns when ctx ends.
	Hang bool
	// NeverRuns leaves a machine that is made at Creating.
	NeverRuns bool
}

// Memory is a cloud.Provider that keeps its machines in memory. Its fields are
// set before it is used. What it accepts happens at once, or by Settle if
// Manual is set; longest lifetimes end by Now.
type Memory struct {
	Zones  []string
	Manual bool
	// Now is time.Now if nil.
	Now func() time.Time
	// OnRunning is called when a machine has come up, with no lock held: by
	// Create, or by Settle if Manual is set.
	OnRunning func(cloud.Spec, cloud.Instance)
	// HourlyCost of each machine.
	HourlyCost float64

	mu       sync.Mutex
	machines map[cloud.Ref]*memoryMachine
	failed   map[string]error // by request ID
	faults   []*Fault
	calls    map[Call]int
	peak     int
	serial   int
}

type memoryMachine struct {
	spec      cloud.Spec
	is        cloud.Instance
	fails     error // when it is carried out
	neverRuns bool
	leaving   bool
}

var _ cloud.Provider = (*Memory)(nil)

// NewMemory makes a Memory with two zones if none are given.
func NewMemory(zones ...string) *Memory {
	if len(zones) == 0 {
		zones = []string{"memory-a", "memory-b"}
	}
	return &Memory{Zones: zones}
}

// Inject adds faults. Of those that match a call the first is taken.
func (m *Memory) Inject(faults ...Fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range faults {
		if f.Times == 0 {
			f.Times = 1
		}
		m.faults = append(m.faults, &f)
	}
}

// Heal drops all faults.
func (m *Memory) Heal() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults = nil
}

// Machines are all that there are, anybody's, by zone and name.
func (m *Memory) Machines() []cloud.Instance {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire()
	var all []cloud.Instance
	for _, r := range m.refs() {
		all = append(all, m.machines[r].is)
	}
	return all
}

// Live is how many machines there are, and Peak how many there were at most.
func (m *Memory) Live() int { return len(m.Machines()) }

// Peak is the largest number of machines that there were at one time.
func (m *Memory) Peak() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.peak
}

// Count is the number of calls of that kind so far.
func (m *Memory) Count(c Call) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls[c]
}

// Script is the startup script of a machine, "" if there is none.
func (m *Memory) Script(r cloud.Ref) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if one := m.machines[r]; one != nil {
		return one.spec.StartupScript
	}
	return ""
}

// Stop ends a machine and leaves it there.
func (m *Memory) Stop(r cloud.Ref) { m.SetState(r, cloud.Stopped) }

// SetState sets the state of a machine, if there is one.
func (m *Memory) SetState(r cloud.Ref, to cloud.State) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if one := m.machines[r]; one != nil {
		one.is.State = to
	}
}

// Vanish deletes a machine at once.
func (m *Memory) Vanish(r cloud.Ref) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.machines, r)
}

// Settle carries out all that was accepted.
func (m *Memory) Settle() {
	m.mu.Lock()
	m.expire()
	var up []*memoryMachine
	for _, r := range m.refs() {
		switch one := m.machines[r]; {
		case one.leaving:
			delete(m.machines, r)
		case one.fails != nil:
			m.failed[one.spec.RequestID] = one.fails
			delete(m.machines, r)
		case one.is.State == cloud.Creating && !one.neverRuns:
			m.serial++
			one.is.State = cloud.Running
			one.is.InternalIP = fmt.Sprintf("10.0.%d.%d", m.serial/250, m.serial%250+1)
			one.is.ExternalIP = fmt.Sprintf("198.51.100.%d", m.serial%250+1)
			up = append(up, &memoryMachine{spec: one.spec, is: one.is})
		}
	}
	m.mu.Unlock()
	if m.OnRunning != nil {
		for _, one := range up {
			m.OnRunning(one.spec, one.is)
		}
	}
}

func (m *Memory) now() time.Time {
	if m.Now != nil {
		return m.Now()
	}
	return time.Now()
}

func (m *Memory) refs() []cloud.Ref {
	return slices.SortedFunc(maps.Keys(m.machines), func(a, b cloud.Ref) int {
		return strings.Compare(a.Zone+"/"+a.Name, b.Zone+"/"+b.Name)
	})
}

func (m *Memory) expire() {
	for r, one := range m.machines {
		if d := one.spec.MaxLifetime; d > 0 && m.now().Sub(one.is.Created) >= d {
			delete(m.machines, r)
		}
	}
}

// do counts a call and carries it out under the lock, as its fault lets it.
func (m *Memory) do(ctx context.Context, c Call, r cloud.Ref, carryOut func(Fault) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s %s: %w", c, r.Name, err)
	}
	m.mu.Lock()
	if m.machines == nil {
		m.machines, m.failed, m.calls = make(map[cloud.Ref]*memoryMachine), make(map[string]error), make(map[Call]int)
	}
	m.calls[c]++
	m.expire()
	f := m.fault(c, r)
	instead := (f.Err != nil || f.Hang) && !f.Later
	var err error
	if !instead || f.Commit {
		err = carryOut(f)
		m.peak = max(m.peak, len(m.machines))
	}
	m.mu.Unlock()
	if !m.Manual && (c == Create || c == Delete) {
		m.Settle()
	}
	if f.Hang {
		<-ctx.Done()
		return fmt.Errorf("%s %s: %w", c, r.Name, ctx.Err())
	}
	if instead {
		return fmt.Errorf("%s %s: %w", c, r.Name, f.Err)
	}
	return err
}

// fault finds the one for a call. A list meets all zones.
func (m *Memory) fault(c Call, r cloud.Ref) Fault {
	for _, f := range m.faults {
		if f.Times == 0 || f.Call != "" && f.Call != c || c != List && (f.Zone != "" && f.Zone != r.Zone || f.Name != "" && f.Name != r.Name) {
			continue
		}
		if f.Times > 0 {
			f.Times--
		}
		return *f
	}
	return Fault{}
}

// Create implements cloud.Provider.
func (m *Memory) Create(ctx context.Context, s cloud.Spec) error {
	return m.do(ctx, Create, s.Ref, func(f Fault) error {
		o := s.Owner
		if s.Name == "" || s.RequestID == "" || o.Cluster == "" || o.Node == "" || o.NodeUID == "" || o.Failover == "" || !slices.Contains(m.Zones, s.Zone) {
			return fmt.Errorf("%w: name, zone, request ID and the whole owner are needed", cloud.ErrInvalid)
		}
		if err := m.failed[s.RequestID]; err != nil {
			if !slices.ContainsFunc(kinds, func(k error) bool { return errors.Is(err, k) }) {
				delete(m.failed, s.RequestID) // may pass
			}
			return fmt.Errorf("create %s: %w", s.Name, err)
		}
		if one := m.machines[s.Ref]; one != nil {
			return m.mine(one, s.Owner)
		}
		one := &memoryMachine{spec: s, neverRuns: f.NeverRuns, is: cloud.Instance{
			Ref: s.Ref, Owner: s.Owner, State: cloud.Creating, Created: m.now(), HourlyCost: m.HourlyCost,
			ProviderID: "memory://" + s.Zone + "/" + s.Name,
		}}
		if f.Later {
			one.fails = f.Err
		}
		m.machines[s.Ref] = one
		return nil
	})
}

func (m *Memory) mine(one *memoryMachine, o cloud.Owner) error {
	if one.is.Owner != o {
		return fmt.Errorf("%w: %s belongs to %+v", cloud.ErrForeign, one.is.Name, one.is.Owner)
	}
	return nil
}

// find returns a machine of the owner.
func (m *Memory) find(r cloud.Ref, o cloud.Owner) (*memoryMachine, error) {
	one := m.machines[r]
	if one == nil {
		return nil, fmt.Errorf("%w: %s in %s", cloud.ErrNotFound, r.Name, r.Zone)
	}
	return one, m.mine(one, o)
}

// Get implements cloud.Provider.
func (m *Memory) Get(ctx context.Context, r cloud.Ref, o cloud.Owner) (cloud.Instance, error) {
	var i cloud.Instance
	err := m.do(ctx, Get, r, func(Fault) error {
		one, err := m.find(r, o)
		if err == nil {
			i = one.is
		}
		return err
	})
	if err != nil {
		return cloud.Instance{}, err
	}
	return i, nil
}

// List implements cloud.Provider.
func (m *Memory) List(ctx context.Context, cluster string) ([]cloud.Instance, error) {
	var all []cloud.Instance
	err := m.do(ctx, List, cloud.Ref{}, func(Fault) error {
		for _, r := range m.refs() {
			if one := m.machines[r]; one.is.Owner.Cluster == cluster {
				all = append(all, one.is)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Delete implements cloud.Provider.
func (m *Memory) Delete(ctx context.Context, r cloud.Ref, o cloud.Owner) error {
	return m.do(ctx, Delete, r, func(f Fault) error {
		one, err := m.find(r, o)
		if err != nil {
			return err
		}
		if f.Later {
			return nil // accepted, and nothing comes of it
		}
		one.leaving = true
		one.is.State = cloud.Stopping
		return nil
	})
}
