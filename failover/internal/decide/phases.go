package decide

import (
	"slices"

	v1 "torikumi/failover/api/v1"
)

// phase is what one phase of a failover is: what is decided in it, and which
// phases can be persisted after it. One decision can go through two phases at
// once, and only the last of them is persisted.
type phase struct {
	decide func(*decision)
	next   []v1.Phase
}

// phases is the table of all phases. docs/failover-design.md draws it. The empty
// phase is that of a failover for which nothing has been decided yet.
var phases = map[v1.Phase]phase{
	"":            {(*decision).pending, []v1.Phase{v1.Pending, v1.Creating, v1.Completed}},
	v1.Pending:    {(*decision).pending, []v1.Phase{v1.Creating, v1.Completed}},
	v1.Creating:   {(*decision).provisioning, []v1.Phase{v1.Active, v1.Pending, v1.Recovering, v1.Draining, v1.Completed}},
	v1.Active:     {(*decision).active, []v1.Phase{v1.Creating, v1.Pending, v1.Recovering, v1.Draining, v1.Completed}},
	v1.Recovering: {(*decision).recovering, []v1.Phase{v1.Active, v1.Creating, v1.Draining, v1.Completed}},
	v1.Draining:   {(*decision).draining, []v1.Phase{v1.Active, v1.Creating, v1.Completed}},
	v1.Completed:  {(*decision).completed, nil},
}

// Follows reports whether a status in phase to may be persisted after one in
// phase from.
func Follows(from, to v1.Phase) bool { return slices.Contains(phases[from].next, to) }

// Phases are all phases, the empty one first.
func Phases() []v1.Phase {
	return []v1.Phase{"", v1.Pending, v1.Creating, v1.Active, v1.Recovering, v1.Draining, v1.Completed}
}

// Next are the phases that may be persisted after one.
func Next(from v1.Phase) []v1.Phase { return slices.Clone(phases[from].next) }

func (d *decision) enter(p v1.Phase) { d.st.Phase = p }

// provisioning decides in the phase Creating.
func (d *decision) provisioning() {
	d.creating()
	d.taintEarly()
}
