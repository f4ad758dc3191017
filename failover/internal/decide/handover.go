package decide

import (
	"fmt"

	v1 "torikumi/failover/api/v1"
	"torikumi/pkg/agones"
)

// The way back: a node that is Ready again may not be able to run games (its mounts
// hang, its runtime is broken). Ready servers leave the temporary node only as their
// replacements become Ready elsewhere.

// gated reports whether Ready servers wait for their replacements: those that are
// drained because the node is back, or the next VM there. Who takes a failover away
// wants it gone, and from a VM at its end all servers have to go in time.
func (d *decision) gated() bool {
	if d.st.Phase != v1.Draining || d.deleting() || d.f.Spec.Drill || d.s.Node.Health != Ready && d.next() == nil {
		return false
	}
	limit := min(d.set.ReturnTimeout, d.set.MaxWait)
	return !d.reached(d.after(d.st.DrainStartedAt.Time, limit))
}

// handOver withdraws as many of the Ready servers as may go now: first one, and
// when all that went are replaced, as many as that were. It returns how many
// stay.
func (d *decision) handOver(idle []Server) int {
	if len(idle) == 0 {
		return 0
	}
	if d.st.Handover == nil {
		d.st.Handover = &v1.Handover{Running: d.s.Running}
	}
	h := d.st.Handover
	switch {
	case !d.gated():
		if d.st.Phase == v1.Draining && d.s.Node.Health == Ready && !d.deleting() && !h.TimedOut && d.now.Before(d.after(d.st.DrainStartedAt.Time, d.set.MaxWait)) {
			h.TimedOut = true
			d.event(Warning, "NoReplacements", fmt.Sprintf("%d Ready servers have waited for %s for their replacements to become Ready elsewhere, and go without", len(idle), d.set.ReturnTimeout))
		}
		for _, s := range idle {
			d.remove(s)
		}
		return 0
	case h.LastAt != nil && !d.reached(d.after(h.LastAt.Time, d.set.Settle)): // what has been done may not show yet
	case d.s.Running >= h.Running:
		n := min(max(1, int(h.Withdrawn)), len(idle))
		for _, s := range idle[:n] {
			d.remove(s)
		}
		h.Withdrawn += int32(n)
		h.LastAt = d.instant()
		d.poll()
		return len(idle) - n
	}
	d.poll()
	return len(idle)
}

// isReady reports whether players can be sent to a server.
func (s Server) isReady() bool { return s.State == agones.Ready }
