package pairing

import (
	"cmp"
	"context"
	"iter"
	"math"
	"slices"
	"time"
)

// Search yields the matches as they are found, which is about those of the
// longest waiting first, and ends early with ctx. No ticket is in two.
// Skipped, if not nil, hears of each ticket that fits no match at all, by its
// position in tickets.
func Search(ctx context.Context, rules *Rules, tickets []Ticket, now time.Time, skipped func(int, Reason)) iter.Seq[Proposal] {
	return func(yield func(Proposal) bool) {
		s := newSearch(rules, tickets, now, skipped)
		if !s.round(ctx, false, yield) || !s.lateRoundHelps() {
			return
		}
		s.round(ctx, true, yield)
	}
}

// checkEvery is the number of anchors between two looks at the context.
const checkEvery = 64

// none ends a list.
const none int32 = -1

// search is the state of one call of Search. A ticket is known by its rank:
// its place in the order of skill.
type search struct {
	rules   *Rules
	tickets []Ticket
	regions regions

	index []int32         // rank to position in tickets
	skill []float64       // by rank
	size  []int32         // by rank
	wait  []time.Duration // by rank; negative if created in the future
	age   []int32         // by rank: place in the order of age, 0 is the oldest
	byAge []int32         // ranks, oldest first
	taken []bool          // by rank

	// reach[from[rank]:from[rank+1]] are the regions of a ticket, best first.
	reach []reach
	from  []int32

	// nodes[node[rank]:node[rank+1]] are the ticket's places in the lists.
	nodes []place
	node  []int32

	budget  int // steps for one anchor in one region
	pick    *pick
	best    []int32 // members of the largest match for the anchor so far
	players int     // in best
}

// place is one ticket in the list of one region.
type place struct {
	prev, next   int32
	rank, region int32
}

// row is a ticket before the order of skill is known.
type row struct {
	skill    float64
	wait     time.Duration
	index    int32
	from, to int32 // of its regions
}

func newSearch(rules *Rules, tickets []Ticket, now time.Time, skipped func(int, Reason)) *search {
	s := &search{
		rules: rules, tickets: tickets,
		regions: regions{ids: make(map[string]int32)},
		// Enough to look at everyone a match needs several times over.
		budget: 256 + 8*rules.maxPlayers(),
		pick:   newPick(rules),
	}
	rows := make([]row, 0, len(tickets))
	all := make([]reach, 0, len(tickets))
	maxParty := rules.MaxParty()
	for i := range tickets {
		from := len(all)
		var reason Reason
		all, reason = rules.check(&tickets[i], &s.regions, maxParty, all)
		if reason != "" {
			if skipped != nil {
				skipped(i, reason)
			}
			continue
		}
		rows = append(rows, row{tickets[i].Skill, now.Sub(tickets[i].Created), int32(i), int32(from), int32(len(all))})
	}
	s.rank(rows, all)
	return s
}

// rank sorts the tickets by skill and by age, and fills the columns.
func (s *search) rank(rows []row, all []reach) {
	older := func(a, b row) int {
		return cmp.Or(cmp.Compare(b.wait, a.wait), cmp.Compare(s.tickets[a.index].ID, s.tickets[b.index].ID))
	}
	slices.SortFunc(rows, func(a, b row) int {
		if c := cmp.Compare(a.skill, b.skill); c != 0 {
			return c
		}
		return older(a, b)
	})
	n := len(rows)
	s.index, s.skill, s.size = make([]int32, n), make([]float64, n), make([]int32, n)
	s.wait, s.age, s.byAge, s.taken = make([]time.Duration, n), make([]int32, n), make([]int32, n), make([]bool, n)
	s.reach, s.from = make([]reach, 0, len(all)), make([]int32, n+1)
	for rank, k := range rows {
		s.index[rank], s.skill[rank], s.wait[rank] = k.index, k.skill, k.wait
		s.size[rank] = int32(s.tickets[k.index].Size)
		s.reach = append(s.reach, all[k.from:k.to]...)
		s.from[rank+1] = int32(len(s.reach))
		s.byAge[rank] = int32(rank)
	}
	slices.SortFunc(s.byAge, func(a, b int32) int { return older(rows[a], rows[b]) })
	for age, rank := range s.byAge {
		s.age[rank] = int32(age)
	}
}

// round tries every free ticket as the anchor, oldest first. In a late round
// the anchors are those for whom any skill will do, and candidates are all
// who can reach the region, also those who still hope for a better one. It
// reports whether to go on.
func (s *search) round(ctx context.Context, late bool, yield func(Proposal) bool) bool {
	s.link(late)
	for i, rank := range s.byAge {
		if i%checkEvery == 0 && ctx.Err() != nil {
			return false
		}
		if s.taken[rank] {
			continue
		}
		if late && !s.rules.anySkill(s.wait[rank]) {
			return true // all others are younger
		}
		if p, ok := s.match(rank); ok && !yield(p) {
			return false
		}
	}
	return true
}

// lateRoundHelps reports whether somebody is left who has waited for any
// skill, and somebody else who has not yet been in all of their regions.
func (s *search) lateRoundHelps() bool {
	waits, fresh := false, false
	for rank, taken := range s.taken {
		if !taken {
			waits = waits || s.rules.anySkill(s.wait[rank])
			fresh = fresh || len(s.reachable(int32(rank), false)) < len(s.reachable(int32(rank), true))
		}
	}
	return waits && fresh
}

// reachable are the regions that a ticket is in: all, or as long as it has
// not waited long only those with the lowest latency.
func (s *search) reachable(rank int32, all bool) []reach {
	r := s.reach[s.from[rank]:s.from[rank+1]]
	if all || s.wait[rank] >= s.rules.RelaxAfter() {
		return r
	}
	n := 1
	for n < len(r) && r[n].latency == r[0].latency {
		n++
	}
	return r[:n]
}

// link makes the lists of the free tickets, one per region, by skill.
func (s *search) link(late bool) {
	last := make([]int32, len(s.regions.names))
	for i := range last {
		last[i] = none
	}
	s.nodes = make([]place, 0, len(s.reach))
	s.node = make([]int32, len(s.index)+1)
	for rank := range s.index {
		if !s.taken[rank] {
			for _, r := range s.reachable(int32(rank), late) {
				id := int32(len(s.nodes))
				s.nodes = append(s.nodes, place{prev: last[r.region], next: none, rank: int32(rank), region: r.region})
				if prev := last[r.region]; prev != none {
					s.nodes[prev].next = id
				}
				last[r.region] = id
			}
		}
		s.node[rank+1] = int32(len(s.nodes))
	}
}

// remove takes a ticket out of all lists.
func (s *search) remove(rank int32) {
	s.taken[rank] = true
	for id := s.node[rank]; id < s.node[rank+1]; id++ {
		n := s.nodes[id]
		if n.prev != none {
			s.nodes[n.prev].next = n.next
		}
		if n.next != none {
			s.nodes[n.next].prev = n.prev
		}
	}
}

// match makes the anchor's match in the first of its regions that has one.
func (s *search) match(anchor int32) (Proposal, bool) {
	window := s.rules.WindowAfter(s.wait[anchor])
	for id := s.node[anchor]; id < s.node[anchor+1]; id++ {
		if !s.neighbours(id, window) {
			continue
		}
		p := s.propose(s.nodes[id].region)
		for _, rank := range s.best {
			s.remove(rank)
		}
		return p, true
	}
	return Proposal{}, false
}

func (s *search) propose(region int32) Proposal {
	lo, hi, oldest := math.Inf(1), math.Inf(-1), s.best[0]
	for _, rank := range s.best {
		lo, hi = min(lo, s.skill[rank]), max(hi, s.skill[rank])
		if s.age[rank] < s.age[oldest] {
			oldest = rank
		}
	}
	p := Proposal{
		Region: s.regions.names[region],
		Teams:  s.pick.assign(s.best, s.skill, s.size),
		Score:  s.rules.score(hi-lo, s.wait[oldest]),
	}
	for _, team := range p.Teams {
		for i, rank := range team {
			team[i] = int(s.index[rank])
		}
	}
	return p
}
