package decide

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "torikumi/failover/api/v1"
)

// Where a VM is made and of which type: each attempt that fails moves on, to the
// next zone, then to the next larger type, then to the next region.

// placementMemory is for how long a placement that has failed stands behind those
// that have not.
const placementMemory = time.Hour

// placement is a zone and a machine type.
type placement struct {
	zone    string
	machine MachineType
}

// region of a zone of Compute Engine, which ends with a dash and a letter. Other
// zones are all of one region.
func region(zone string) string {
	if i := len(zone) - 2; i > 0 && zone[i] == '-' {
		return zone[:i]
	}
	return ""
}

// placements are all for what needs at least that type, in order of preference.
func (s *Settings) placements(least MachineType) []placement {
	i := max(0, slices.IndexFunc(s.MachineTypes, func(m MachineType) bool { return m.Name == least.Name }))
	var regions []string
	for _, z := range s.Zones {
		if r := region(z); !slices.Contains(regions, r) {
			regions = append(regions, r)
		}
	}
	var all []placement
	for _, r := range regions {
		for _, m := range s.MachineTypes[i:] {
			for _, z := range s.Zones {
				if region(z) == r {
					all = append(all, placement{z, m})
				}
			}
		}
	}
	return all
}

// candidate is a placement with what is known of it.
type candidate struct {
	placement
	failures int32     // of this failover in a row
	doubtful bool      // it has failed last, here or for another failover, and not long ago
	retryAt  time.Time // before when this failover does not try it again
}

// candidates are the placements in the order in which they are to be tried. A
// larger type that the budget has no room for is none.
func (d *decision) candidates() []candidate {
	least := d.pick()
	var all []candidate
	for _, p := range d.set.placements(least) {
		if p.machine.Name != least.Name && !d.affordable(p.machine) {
			continue
		}
		c := candidate{placement: p}
		if f := failedAt(d.st, p); f != nil {
			c.failures, c.retryAt = f.Failures, f.RetryAt.Time
			if int(c.failures) >= d.set.MaxAttempts && !d.now.Before(c.retryAt) {
				c.failures = 0 // the pause is over: all begins anew
			}
		}
		worked, failed := d.record(p)
		c.doubtful = failed.After(worked) && d.now.Sub(failed) < placementMemory
		all = append(all, c)
	}
	slices.SortStableFunc(all, func(a, b candidate) int {
		order := cmp.Compare(a.failures, b.failures)
		if order == 0 && a.doubtful != b.doubtful {
			order = 1
			if b.doubtful {
				order = -1
			}
		}
		return order
	})
	return all
}

// record is when a placement has last worked and last failed, for any failover.
func (d *decision) record(p placement) (worked, failed time.Time) {
	look := func(st *v1.NodeFailoverStatus) {
		if vm := st.VM; vm != nil && vm.JoinedAt != nil && vm.GaveUp == "" && vm.Zone == p.zone && vm.MachineType == p.machine.Name && vm.JoinedAt.After(worked) {
			worked = vm.JoinedAt.Time
		}
		if f := failedAt(st, p); f != nil && f.FailedAt.After(failed) {
			failed = f.FailedAt.Time
		}
	}
	look(d.st)
	for i := range d.s.Siblings {
		look(&d.s.Siblings[i].Status)
	}
	return worked, failed
}

func failedAt(st *v1.NodeFailoverStatus, p placement) *v1.FailedPlacement {
	for i := range st.FailedPlacements {
		if f := &st.FailedPlacements[i]; f.Zone == p.zone && f.MachineType == p.machine.Name {
			return f
		}
	}
	return nil
}

// choose is the placement of the next attempt, and the instant before which there
// is none.
func (d *decision) choose() (candidate, time.Time) {
	all := d.candidates()
	first := all[0]
	for _, c := range all {
		if !d.now.Before(c.retryAt) {
			return c, d.now
		}
		if c.retryAt.Before(first.retryAt) {
			first = c
		}
	}
	return first, first.retryAt
}

// exhausted reports whether all placements have failed as often as is allowed in a
// row.
func (d *decision) exhausted() bool {
	return !slices.ContainsFunc(d.candidates(), func(c candidate) bool { return int(c.failures) < d.set.MaxAttempts })
}

// noteFailure remembers that the present attempt has failed where it was made. One
// whose VM had been in use is no reason to wait, only to look elsewhere first.
func (d *decision) noteFailure(why v1.GaveUp) {
	vm := d.st.VM
	if why == v1.GaveUpLifetime || why == v1.GaveUpTokenRefused {
		return
	}
	f := failedAt(d.st, placement{vm.Zone, MachineType{Name: vm.MachineType}})
	if f == nil {
		d.st.FailedPlacements = slices.DeleteFunc(d.st.FailedPlacements, func(f v1.FailedPlacement) bool {
			return d.now.Sub(f.FailedAt.Time) > placementMemory && !d.now.Before(f.RetryAt.Time)
		})
		d.st.FailedPlacements = append(d.st.FailedPlacements, v1.FailedPlacement{Zone: vm.Zone, MachineType: vm.MachineType})
		f = &d.st.FailedPlacements[len(d.st.FailedPlacements)-1]
	}
	if int(f.Failures) >= d.set.MaxAttempts {
		f.Failures = 0
	}
	f.FailedAt, f.RetryAt, f.Reason = *d.instant(), *d.instant(), why
	if why == v1.GaveUpLost && d.st.ActiveAt != nil {
		f.Failures = 0
		return
	}
	f.Failures++
	pause := grown(d.set.Backoff, int(f.Failures)-1, d.set.BackoffMax)
	if int(f.Failures) >= d.set.MaxAttempts {
		pause = d.set.ExhaustedPause
	}
	f.RetryAt = *v1.At(d.now.Add(pause))
}

// forgetFailure: the placement of the present attempt works.
func (d *decision) forgetFailure() {
	vm := d.st.VM
	d.st.FailedPlacements = slices.DeleteFunc(d.st.FailedPlacements, func(f v1.FailedPlacement) bool {
		return f.Zone == vm.Zone && f.MachineType == vm.MachineType
	})
}

// placementsTried tells of all placements that have failed.
func (d *decision) placementsTried() string {
	tried := make([]string, 0, len(d.st.FailedPlacements))
	for _, f := range d.st.FailedPlacements {
		tried = append(tried, fmt.Sprintf("%s in %s: %s", f.MachineType, f.Zone, f.Reason))
	}
	return strings.Join(tried, ", ")
}
