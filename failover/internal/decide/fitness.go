package decide

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	v1 "torikumi/failover/api/v1"
)

// Ready is the kubelet's word, and says nothing of whether a game can start on the
// node, nor of whether players reach it.

// unfit tells why no game can start on the temporary node although it is Ready;
// "" if one can.
func (d *decision) unfit(t Temp) string {
	var foreign []string
	for _, key := range t.Taints {
		if !slices.Contains(d.set.ToleratedTaints, key) {
			foreign = append(foreign, key)
		}
	}
	var size *v1.Size
	if d.st.Lost != nil {
		size = smallest(d.st.Lost.Sizes)
	}
	vm := d.s.VM.Instance
	if d.st.VM != nil {
		vm.ExternalIP = cmp.Or(vm.ExternalIP, d.st.VM.ExternalIP)
	}
	switch {
	case t.Uninitialised:
		return "it waits for a cloud-controller-manager to set its addresses (taint uninitialized); where none runs, --init-nodes lets the controller do it"
	case len(foreign) > 0:
		slices.Sort(foreign)
		return fmt.Sprintf("no game server is scheduled there because of its taints %s; --tolerated-taints names those that do not matter", strings.Join(slices.Compact(foreign), ", "))
	case vm.ExternalIP != "" && !t.ExternalIP:
		return fmt.Sprintf("players cannot reach it: the VM has the address %s, and the Node no ExternalIP", vm.ExternalIP)
	case d.set.NeedExternalIP && d.st.SharesWith == "" && !t.ExternalIP:
		return "players cannot reach it: the Node has no ExternalIP"
	case size != nil && t.MilliCPU > 0 && (size.CPU.MilliValue() > t.MilliCPU || size.Memory.Value() > t.Memory):
		cpu, memory := v1.Milli(t.MilliCPU), v1.Bytes(t.Memory)
		return fmt.Sprintf("no game server fits there: it has %s CPU and %s of memory for pods, and the smallest requests %s and %s", cpu.String(), memory.String(), size.CPU.String(), size.Memory.String())
	}
	return ""
}

// smallest is the size that fits where any does; nil if there is none.
func smallest(sizes []v1.Size) *v1.Size {
	if len(sizes) == 0 {
		return nil
	}
	least := sizes[0]
	for _, z := range sizes {
		if z.CPU.Cmp(least.CPU.Quantity) < 0 {
			least.CPU = z.CPU
		}
		if z.Memory.Cmp(least.Memory.Quantity) < 0 {
			least.Memory = z.Memory
		}
	}
	return &least
}
