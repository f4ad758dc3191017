package decide

import (
	"cmp"
	"slices"

	v1 "torikumi/failover/api/v1"
)

// need is what a load requests.
func need(l *v1.Load) (cpu, memory int64) {
	if l == nil {
		return 0, 0
	}
	return l.CPU.MilliValue(), l.Memory.Value()
}

// pick is the least VM for this failover's own share of what was lost, and for
// those that share its VM: this may have been a larger one.
func (d *decision) pick() MachineType {
	least := d.least(d.f, d.st)
	if o := d.predecessor(); o != nil && o.Status.VM != nil {
		// The larger of the two: sharers have followed, or have come since.
		if m, ok := d.set.machine(o.Status.VM.MachineType); ok && (m.MilliCPU > least.MilliCPU || m.Memory > least.Memory) {
			return m
		}
	}
	return least
}

// least is the least VM for a failover and those that share its VM, or that of the one that
// it replaces: they follow once it has one, also if the other has lost its own meanwhile.
func (d *decision) least(f *v1.NodeFailover, st *v1.NodeFailoverStatus) MachineType {
	cpu, memory := need(load(st))
	for i := range d.s.Siblings {
		o := &d.s.Siblings[i]
		if host := o.Status.SharesWith; open(o) && host != "" && (host == f.Name || host == f.Spec.Replaces) {
			c, m := need(load(&o.Status))
			cpu, memory = cpu+c, memory+m
		}
	}
	return d.set.fits(&v1.Load{CPU: v1.Milli(cpu), Memory: v1.Bytes(memory)})
}

// fits is the smallest VM that has room for a load, or the largest.
func (s *Settings) fits(l *v1.Load) MachineType {
	cpu, memory := need(l)
	for _, m := range s.MachineTypes {
		if cpu <= m.MilliCPU && memory <= m.Memory {
			return m
		}
	}
	return s.MachineTypes[len(s.MachineTypes)-1]
}

func (s *Settings) machine(kind string) (MachineType, bool) {
	for _, m := range s.MachineTypes {
		if m.Name == kind {
			return m, true
		}
	}
	return MachineType{}, false
}

// pack spreads game servers over as few of the largest VMs as first-fit
// decreasing finds. Servers that fit no VM are left over. There is always
// one share, if only an empty one.
func (s *Settings) pack(lost *v1.LostServers) (shares []v1.Load, tooLarge []v1.Size) {
	if len(lost.Sizes) == 0 {
		return []v1.Load{lost.Load}, nil
	}
	large := s.MachineTypes[len(s.MachineTypes)-1]
	part := func(z v1.Size) float64 {
		return max(float64(z.CPU.MilliValue())/float64(large.MilliCPU), float64(z.Memory.Value())/float64(large.Memory))
	}
	sizes := slices.Clone(lost.Sizes)
	slices.SortStableFunc(sizes, func(a, b v1.Size) int { return cmp.Compare(part(b), part(a)) })
	type bin struct {
		servers     int32
		cpu, memory int64
	}
	bins := make([]bin, 1)
	for _, z := range sizes {
		if part(z) > 1 {
			tooLarge = append(tooLarge, z)
			continue
		}
		cpu, memory := z.CPU.MilliValue(), z.Memory.Value()
		for range z.Count {
			i := slices.IndexFunc(bins, func(b bin) bool {
				return b.servers < s.MaxServers && b.cpu+cpu <= large.MilliCPU && b.memory+memory <= large.Memory
			})
			if i < 0 {
				i = len(bins)
				bins = append(bins, bin{})
			}
			bins[i] = bin{bins[i].servers + 1, bins[i].cpu + cpu, bins[i].memory + memory}
		}
	}
	for _, b := range bins {
		shares = append(shares, v1.Load{GameServers: b.servers, CPU: v1.Milli(b.cpu), Memory: v1.Bytes(b.memory)})
	}
	return shares, tooLarge
}

// load is what a failover's own VM is for; nil if it is not known.
func load(st *v1.NodeFailoverStatus) *v1.Load {
	switch {
	case len(st.SharedLoads) > 0:
		return &st.SharedLoads[0]
	case st.Lost != nil:
		return &st.Lost.Load
	}
	return nil
}
