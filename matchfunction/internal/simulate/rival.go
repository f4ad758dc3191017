package simulate

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"torikumi/matchfunction/rule"
)

// rival is what the search is compared with in a World: the ways that matchmakers of
// a few lines take. Unlike a baseline it knows parties and regions, and no rules but
// those of a World.
type rival struct {
	world  *World
	window float64
	// stepped: a quarter of the window at first, half of it after 20 s, all of it
	// after a minute, by the wait of the longest waiting ticket of the match.
	stepped bool
}

// allowed is the window of a match whose longest waiting ticket has waited so long.
func (r *rival) allowed(wait time.Duration) float64 {
	switch {
	case !r.stepped || wait >= time.Minute:
		return r.window
	case wait >= 20*time.Second:
		return r.window / 2
	}
	return r.window / 4
}

// seeker is a ticket as a rival sees it.
type seeker struct {
	ticket int32
	size   int
	skill  float64
	wait   time.Duration
	// regions are bits, of the names in order.
	regions uint64
}

// seekers are those who wait, the longest waiting first as they come.
func (r *rival) seekers(waiting []rule.Ticket, now time.Time) (all []seeker, regions []string) {
	all = make([]seeker, len(waiting))
	for i := range waiting {
		t := &waiting[i]
		s := seeker{ticket: int32(i), size: len(t.Players), wait: now.Sub(t.Created), regions: math.MaxUint64}
		for j := range t.Players {
			p := &t.Players[j]
			v, _ := p.Attribute("skill")
			s.skill += v.Number / float64(len(t.Players))
			if r.world.MaxLatency > 0 {
				s.regions &= near(p, &regions, r.world.MaxLatency)
			}
		}
		all[i] = s
	}
	return all, regions
}

func near(p *rule.Player, regions *[]string, most float64) uint64 {
	var out uint64
	for _, l := range p.Latencies {
		at := slices.Index(*regions, l.Region)
		if at < 0 {
			at = len(*regions)
			*regions = append(*regions, l.Region)
		}
		if l.Milliseconds <= most {
			out |= 1 << at
		}
	}
	return out
}

// lineup is a match of a rival in the making.
type lineup struct {
	r       *rival
	members []*seeker
	team    []int
	fill    []int
	total   int
	lo, hi  float64
	wait    time.Duration
	regions uint64
}

func (r *rival) lineup() *lineup {
	return &lineup{r: r, fill: make([]int, r.world.Teams), lo: math.Inf(1), hi: math.Inf(-1), regions: math.MaxUint64}
}

func (l *lineup) clear() {
	clear(l.fill)
	l.members, l.team, l.total, l.lo, l.hi, l.wait, l.regions = l.members[:0], l.team[:0], 0, math.Inf(1), math.Inf(-1), 0, math.MaxUint64
}

// add takes a ticket in, into the team with the most room, if it fits.
func (l *lineup) add(s *seeker) bool {
	team := 0
	for i := range l.fill {
		if l.fill[i] < l.fill[team] {
			team = i
		}
	}
	lo, hi, wait := min(l.lo, s.skill), max(l.hi, s.skill), max(l.wait, s.wait)
	if l.fill[team]+s.size > l.r.world.Size || hi-lo > l.r.allowed(wait) || l.regions&s.regions == 0 {
		return false
	}
	l.members, l.team = append(l.members, s), append(l.team, team)
	l.fill[team] += s.size
	l.total += s.size
	l.lo, l.hi, l.wait, l.regions = lo, hi, wait, l.regions&s.regions
	return true
}

func (l *lineup) full() bool { return l.total == l.r.world.players() }

// found spells a full lineup out.
func (l *lineup) found(waiting []rule.Ticket, regions []string) found {
	out := found{match: &rule.Match{Teams: make([]rule.Team, len(l.fill))}}
	if l.r.world.MaxLatency > 0 {
		for i, name := range regions {
			if l.regions&(1<<i) != 0 {
				out.match.Region = name
				break
			}
		}
	}
	for i := range out.match.Teams {
		out.match.Teams[i].Name = "team_" + string(rune('1'+i))
	}
	out.match.Wait = l.wait
	for i, s := range l.members {
		t := &waiting[s.ticket]
		out.match.Wait = min(out.match.Wait, s.wait)
		out.tickets = append(out.tickets, s.ticket)
		out.match.Tickets = append(out.match.Tickets, t)
		members := &out.match.Teams[l.team[i]].Members
		for j := range t.Players {
			*members = append(*members, rule.Member{Player: &t.Players[j], Ticket: t})
		}
	}
	return out
}

// around makes a match around each ticket, the longest waiting first, of others in
// the order that next gives.
func (r *rival) around(waiting []rule.Ticket, all []seeker, regions []string, others func(anchor *seeker, yield func(*seeker) bool)) []found {
	var out []found
	taken := make([]bool, len(all))
	l := r.lineup()
	for i := range all {
		if taken[i] {
			continue
		}
		l.clear()
		l.add(&all[i])
		others(&all[i], func(s *seeker) bool {
			if s.ticket != int32(i) && !taken[s.ticket] {
				l.add(s)
			}
			return !l.full()
		})
		if !l.full() {
			continue
		}
		for _, s := range l.members {
			taken[s.ticket] = true
		}
		out = append(out, l.found(waiting, regions))
	}
	return out
}

// arrivalOrder takes those who came first.
func (r *rival) arrivalOrder(_ context.Context, waiting []rule.Ticket, now time.Time) []found {
	all, regions := r.seekers(waiting, now)
	return r.around(waiting, all, regions, func(_ *seeker, yield func(*seeker) bool) {
		for i := range all {
			if !yield(&all[i]) {
				return
			}
		}
	})
}

// nearestFirst takes those who are nearest.
func (r *rival) nearestFirst(_ context.Context, waiting []rule.Ticket, now time.Time) []found {
	all, regions := r.seekers(waiting, now)
	sorted, at := bySkill(all)
	return r.around(waiting, all, regions, func(anchor *seeker, yield func(*seeker) bool) {
		down, up := at[anchor.ticket]-1, at[anchor.ticket]+1
		for down >= 0 || up < len(sorted) {
			below, above := math.Inf(1), math.Inf(1)
			if down >= 0 {
				below = anchor.skill - sorted[down].skill
			}
			if up < len(sorted) {
				above = sorted[up].skill - anchor.skill
			}
			if min(below, above) > r.window {
				return
			}
			s := sorted[max(0, down)]
			if below <= above {
				down--
			} else {
				s = sorted[up]
				up++
			}
			if !yield(s) {
				return
			}
		}
	})
}

func bySkill(all []seeker) (sorted []*seeker, at []int) {
	sorted, at = make([]*seeker, len(all)), make([]int, len(all))
	for i := range all {
		sorted[i] = &all[i]
	}
	slices.SortFunc(sorted, func(a, b *seeker) int {
		return cmp.Or(cmp.Compare(a.skill, b.skill), cmp.Compare(a.ticket, b.ticket))
	})
	for i, s := range sorted {
		at[s.ticket] = i
	}
	return sorted, at
}

// teamshooter is the way of Open Match's example of this name: each run of tickets
// that are neighbours by skill is a proposal, in each region, and of those the ones
// with the least variance stand that share nobody.
func (r *rival) teamshooter(_ context.Context, waiting []rule.Ticket, now time.Time) []found {
	all, regions := r.seekers(waiting, now)
	sorted, _ := bySkill(all)
	type proposal struct {
		variance float64
		lineup   lineup
	}
	var proposals []proposal
	var room arena
	l := r.lineup()
	for region := range max(1, len(regions)) {
		for i := range sorted {
			l.clear()
			l.regions = 1 << region
			for _, s := range sorted[i:] {
				if s.skill-sorted[i].skill > r.window || l.full() {
					break
				}
				if !l.add(s) && s == sorted[i] {
					break // begins elsewhere
				}
			}
			if l.full() {
				proposals = append(proposals, proposal{l.variance(), room.copyOf(l)})
			}
		}
	}
	slices.SortStableFunc(proposals, func(a, b proposal) int { return cmp.Compare(a.variance, b.variance) })
	var out []found
	taken := make([]bool, len(all))
	for i := range proposals {
		p := &proposals[i].lineup
		if slices.ContainsFunc(p.members, func(s *seeker) bool { return taken[s.ticket] }) {
			continue
		}
		for _, s := range p.members {
			taken[s.ticket] = true
		}
		out = append(out, p.found(waiting, regions))
	}
	return out
}

// arena holds the members of many lineups, most of which are dropped.
type arena struct {
	members []*seeker
	team    []int
}

func (a *arena) copyOf(l *lineup) lineup {
	out, from := *l, len(a.members)
	a.members, a.team = append(a.members, l.members...), append(a.team, l.team...)
	out.members, out.team = a.members[from:len(a.members):len(a.members)], a.team[from:len(a.team):len(a.team)]
	return out
}

// variance is that of the skills, times their number.
func (l *lineup) variance() float64 {
	mean, sum := 0.0, 0.0
	for _, s := range l.members {
		mean += s.skill / float64(len(l.members))
	}
	for _, s := range l.members {
		sum += (s.skill - mean) * (s.skill - mean)
	}
	return sum
}
