// Package memory is a cloud.Provider without a cloud: its VMs are records that
// come up at once. Tests of the controller run on it and give it faults; a new
// provider can be tried out on it, or begin as a copy.
package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"torikumi/failover/cloud"
)

// Fault is something that goes wrong with a call of a Provider. Which: all, but for
// the fields that are set.
type Fault struct {
	Call cloud.Call
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
	// NeverRuns leaves a VM that is made at Creating.
	NeverRuns bool
}

// Provider is a cloud.Provider that keeps its VMs in memory. Its fields are
// set before it is used. What it accepts happens at once, or by Finish if
// Manual is set; longest lifetimes end by Now.
type Provider struct {
	Zones  []string
	Manual bool
	// Now is time.Now if nil.
	Now func() time.Time
	// OnRunning is called when a VM has come up, with no lock held: by
	// Create, or by Finish if Manual is set.
	OnRunning func(cloud.Spec, cloud.Instance)
	// HourlyCost of each VM.
	HourlyCost float64

	mu     sync.Mutex
	vms    map[cloud.Ref]*vm
	failed map[string]error // by request ID
	faults []*Fault
	calls  map[cloud.Call]int
	peak   int
	serial int
}

type vm struct {
	spec      cloud.Spec
	is        cloud.Instance
	fails     error // when it is carried out
	neverRuns bool
	leaving   bool
}

var _ cloud.Provider = (*Provider)(nil)

// New makes a provider with two zones if none are given.
func New(zones ...string) *Provider {
	if len(zones) == 0 {
		zones = []string{"memory-a", "memory-b"}
	}
	return &Provider{Zones: zones}
}

// Inject adds faults. Of those that match a call the first is taken.
func (m *Provider) Inject(faults ...Fault) {
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
func (m *Provider) Heal() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults = nil
}

// VMs are all that there are, anybody's, by zone and name.
func (m *Provider) VMs() []cloud.Instance {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire()
	var all []cloud.Instance
	for _, r := range m.refs() {
		all = append(all, m.vms[r].is)
	}
	return all
}

// Live is how many VMs there are, and Peak how many there were at most.
func (m *Provider) Live() int { return len(m.VMs()) }

// Peak is the largest number of VMs that there were at one time.
func (m *Provider) Peak() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.peak
}

// Count is the number of calls of that kind so far.
func (m *Provider) Count(c cloud.Call) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls[c]
}

// Script is the startup script of a VM, "" if there is none.
func (m *Provider) Script(r cloud.Ref) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if one := m.vms[r]; one != nil {
		return one.spec.StartupScript
	}
	return ""
}

// Stop ends a VM and leaves it there.
func (m *Provider) Stop(r cloud.Ref) { m.SetState(r, cloud.Stopped) }

// SetState sets the state of a VM, if there is one.
func (m *Provider) SetState(r cloud.Ref, to cloud.State) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if one := m.vms[r]; one != nil {
		one.is.State = to
	}
}

// Vanish deletes a VM at once.
func (m *Provider) Vanish(r cloud.Ref) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.vms, r)
}

// Finish carries out all that was accepted.
func (m *Provider) Finish() {
	m.mu.Lock()
	m.expire()
	var up []*vm
	for _, r := range m.refs() {
		switch one := m.vms[r]; {
		case one.leaving:
			delete(m.vms, r)
		case one.fails != nil:
			m.failed[one.spec.RequestID] = one.fails
			delete(m.vms, r)
		case one.is.State == cloud.Creating && !one.neverRuns:
			m.serial++
			one.is.State = cloud.Running
			one.is.InternalIP = fmt.Sprintf("10.0.%d.%d", m.serial/250, m.serial%250+1)
			one.is.ExternalIP = fmt.Sprintf("198.51.100.%d", m.serial%250+1)
			up = append(up, &vm{spec: one.spec, is: one.is})
		}
	}
	m.mu.Unlock()
	if m.OnRunning != nil {
		for _, one := range up {
			m.OnRunning(one.spec, one.is)
		}
	}
}

func (m *Provider) now() time.Time {
	if m.Now != nil {
		return m.Now()
	}
	return time.Now()
}

func (m *Provider) refs() []cloud.Ref {
	return slices.SortedFunc(maps.Keys(m.vms), func(a, b cloud.Ref) int {
		return strings.Compare(a.Zone+"/"+a.Name, b.Zone+"/"+b.Name)
	})
}

func (m *Provider) expire() {
	maps.DeleteFunc(m.vms, func(_ cloud.Ref, one *vm) bool {
		d := one.spec.MaxLifetime
		return d > 0 && m.now().Sub(one.is.Created) >= d
	})
}

// do counts a call and carries it out under the lock, as its fault lets it.
func (m *Provider) do(ctx context.Context, c cloud.Call, r cloud.Ref, carryOut func(Fault) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s %s: %w", c, r.Name, err)
	}
	m.mu.Lock()
	if m.vms == nil {
		m.vms, m.failed, m.calls = make(map[cloud.Ref]*vm), make(map[string]error), make(map[cloud.Call]int)
	}
	m.calls[c]++
	m.expire()
	f := m.fault(c, r)
	instead := (f.Err != nil || f.Hang) && !f.Later
	var err error
	if !instead || f.Commit {
		err = carryOut(f)
		m.peak = max(m.peak, len(m.vms))
	}
	m.mu.Unlock()
	if !m.Manual && (c == cloud.CallCreate || c == cloud.CallDelete) {
		m.Finish()
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
func (m *Provider) fault(c cloud.Call, r cloud.Ref) Fault {
	for _, f := range m.faults {
		if f.Times == 0 || f.Call != "" && f.Call != c || c != cloud.CallList && (f.Zone != "" && f.Zone != r.Zone || f.Name != "" && f.Name != r.Name) {
			continue
		}
		if f.Times > 0 {
			f.Times--
		}
		return *f
	}
	return Fault{}
}

func (m *Provider) Create(ctx context.Context, s cloud.Spec) error {
	return m.do(ctx, cloud.CallCreate, s.Ref, func(f Fault) error {
		if s.Name == "" || s.RequestID == "" || !s.Owner.Whole() || !slices.Contains(m.Zones, s.Zone) {
			return fmt.Errorf("%w: name, zone, request ID and the whole owner are needed", cloud.ErrInvalid)
		}
		if err := m.failed[s.RequestID]; err != nil {
			if cloud.Kind(err) == nil {
				delete(m.failed, s.RequestID) // may pass
			}
			return fmt.Errorf("create %s: %w", s.Name, err)
		}
		if one := m.vms[s.Ref]; one != nil {
			return m.mine(one, s.Owner)
		}
		one := &vm{spec: s, neverRuns: f.NeverRuns, is: cloud.Instance{
			Ref: s.Ref, Owner: s.Owner, State: cloud.Creating, Created: m.now(), HourlyCost: m.HourlyCost,
			ProviderID: "memory://" + s.Zone + "/" + s.Name,
		}}
		if f.Later {
			one.fails = f.Err
		}
		m.vms[s.Ref] = one
		return nil
	})
}

func (m *Provider) mine(one *vm, o cloud.Owner) error {
	if one.is.Owner != o {
		return fmt.Errorf("%w: %s belongs to %+v", cloud.ErrForeign, one.is.Name, one.is.Owner)
	}
	return nil
}

// find returns a VM of the owner.
func (m *Provider) find(r cloud.Ref, o cloud.Owner) (*vm, error) {
	one := m.vms[r]
	if one == nil {
		return nil, fmt.Errorf("%w: %s in %s", cloud.ErrNotFound, r.Name, r.Zone)
	}
	return one, m.mine(one, o)
}

func (m *Provider) Get(ctx context.Context, r cloud.Ref, o cloud.Owner) (cloud.Instance, error) {
	var i cloud.Instance
	err := m.do(ctx, cloud.CallGet, r, func(Fault) error {
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

func (m *Provider) List(ctx context.Context, cluster string) ([]cloud.Instance, error) {
	var all []cloud.Instance
	err := m.do(ctx, cloud.CallList, cloud.Ref{}, func(Fault) error {
		for _, r := range m.refs() {
			if one := m.vms[r]; one.is.Owner.Cluster == cluster {
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

func (m *Provider) Delete(ctx context.Context, r cloud.Ref, o cloud.Owner) error {
	return m.do(ctx, cloud.CallDelete, r, func(f Fault) error {
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
