package decide

import (
	"time"

	v1 "torikumi/failover/api/v1"
)

// turnedBack makes up for a clock that was turned back: an instant of the past
// that lies ahead would stretch its timer by as much as the clock was wrong. It
// counts from now instead. What is due later is due after its longest pause.
func (d *decision) turnedBack() {
	st := d.st
	past := []*v1.Instant{
		st.FailedAt, st.NotReadySince, st.UnreachableSince, st.RelapsedAt, st.RecoveryDetectedAt, st.ActiveAt, st.TempNotReadySince, st.DrainStartedAt, st.VMDeletionStartedAt,
	}
	if st.VM != nil {
		past = append(past, &st.VM.StartedAt)
	}
	atMost := func(t *v1.Instant, limit time.Duration) {
		if t != nil && t.After(d.now.Add(limit)) {
			t.Time = d.now.Add(limit)
		}
	}
	for _, t := range past {
		atMost(t, 0)
	}
	if st.Handover != nil {
		atMost(st.Handover.LastAt, 0)
	}
	if st.Eviction != nil {
		atMost(st.Eviction.ForcedAt, 0)
		atMost(st.Eviction.EndingSince, 0)
	}
	for i := range st.FailedPlacements {
		f := &st.FailedPlacements[i]
		atMost(&f.FailedAt, 0)
		atMost(&f.RetryAt, max(d.set.ExhaustedPause, d.set.BackoffMax))
	}
	atMost(st.NextAttemptAt, max(d.set.ExhaustedPause, d.set.BackoffMax, heldRetry))
	atMost(st.FenceAfter, heldRetry)
}

// after is when a wait that began at t is over: what the clock was set forward
// by since then has not passed.
func (d *decision) after(t time.Time, wait time.Duration) time.Time {
	end := t.Add(wait)
	for _, s := range d.s.Skips {
		from := s.From
		if t.After(from) {
			from = t
		}
		if over := s.To.Sub(from); over > 0 {
			end = end.Add(over)
		}
	}
	return end
}
