package engine

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"torikumi/matchfunction/internal/tickets"
	"torikumi/pkg/contract"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Reasons for which Admit leaves a ticket out.
const (
	// BadID: the ticket has no id.
	BadID Reason = "id"
	// BadDetails: the extension cannot be read or has no players.
	BadDetails Reason = "details"
	// BadPlayers: a player without an id, or the same one twice in a ticket.
	BadPlayers Reason = "players"
	// Expired: the search is over; its frontend died before it could take the
	// ticket out of Open Match.
	Expired Reason = "expired"
	// OtherTicket: one of the players has a younger ticket in the pools that can
	// be matched. Open Match keeps a ticket that its owner forgot for ever, so
	// the youngest is the one that somebody waits for.
	OtherTicket Reason = "other_ticket"
)

// Admit reads the tickets of all pools: each once, in order of id, broken ones
// and expired ones left out, and no player in two of them. What is left out
// changes nothing for the others.
func (p *Profile) Admit(read []tickets.Read, now time.Time, skipped func(*openmatch.Ticket, Reason)) []Ticket {
	read = slices.Clone(read)
	slices.SortStableFunc(read, func(a, b tickets.Read) int { return cmp.Compare(a.Ticket.GetId(), b.Ticket.GetId()) })
	read = slices.CompactFunc(read, func(a, b tickets.Read) bool {
		return a.Ticket.GetId() != "" && a.Ticket.GetId() == b.Ticket.GetId()
	})

	admitted := make([]Ticket, 0, len(read))
	of := make(map[string]int, len(read)) // player to position in admitted
	twice := make(map[int]bool)           // positions that share a player
	for _, r := range read {
		if reason := broken(r, now); reason != "" {
			skipped(r.Ticket, reason)
			continue
		}
		at := len(admitted)
		admitted = append(admitted, Ticket{Ticket: r.Ticket, Details: r.Details})
		for _, player := range r.Details.GetPlayers() {
			if other, known := of[player.GetId()]; known {
				twice[other], twice[at] = true, true
			}
			of[player.GetId()] = at
		}
	}
	if len(twice) == 0 {
		return admitted
	}
	return p.oncePerPlayer(admitted, twice, now, skipped)
}

// broken says why nobody could read a ticket, or "".
func broken(r tickets.Read, now time.Time) Reason {
	expires := r.Details.GetExpireTime()
	switch {
	case r.Ticket.GetId() == "":
		return BadID
	case r.Err != nil:
		return BadDetails
	case expires != nil && !now.Before(expires.AsTime()):
		return Expired
	case !distinct(r.Details.GetPlayers()):
		return BadPlayers
	}
	return ""
}

// distinct reports whether each player has an id that no other has.
func distinct(players []*torikumiv1.Player) bool {
	if len(players) == 1 {
		return players[0].GetId() != ""
	}
	ids := make(map[string]bool, len(players))
	for _, p := range players {
		if p.GetId() == "" || ids[p.GetId()] {
			return false
		}
		ids[p.GetId()] = true
	}
	return true
}

// oncePerPlayer leaves out, of the tickets at the positions that share a player,
// those with a player who is in one that comes first: those that can be matched
// come first, and of them the youngest.
func (p *Profile) oncePerPlayer(admitted []Ticket, twice map[int]bool, now time.Time, skipped func(*openmatch.Ticket, Reason)) []Ticket {
	positions := slices.Sorted(maps.Keys(twice))
	shared := make([]Ticket, len(positions))
	for i, at := range positions {
		shared[i] = admitted[at]
	}
	unfit := make(map[string]int)
	p.Engine.Unfit(shared, now, func(t *openmatch.Ticket, _ Reason) { unfit[t.GetId()] = 1 })
	slices.SortFunc(shared, func(a, b Ticket) int {
		return cmp.Or(cmp.Compare(unfit[a.Ticket.GetId()], unfit[b.Ticket.GetId()]),
			b.Ticket.GetCreateTime().AsTime().Compare(a.Ticket.GetCreateTime().AsTime()),
			cmp.Compare(a.Ticket.GetId(), b.Ticket.GetId()))
	})
	playing, out := make(map[string]bool), make(map[string]bool)
	taken := func(player *torikumiv1.Player) bool { return playing[player.GetId()] }
	for _, t := range shared {
		if slices.ContainsFunc(t.Details.GetPlayers(), taken) {
			skipped(t.Ticket, OtherTicket)
			out[t.Ticket.GetId()] = true
			continue
		}
		for _, player := range t.Details.GetPlayers() {
			playing[player.GetId()] = true
		}
	}
	return slices.DeleteFunc(admitted, func(t Ticket) bool { return out[t.Ticket.GetId()] })
}

// AdmitBackfills reads the backfills of all pools: each once, in order of id.
// Those that are not ours say nothing of who plays, so that nobody can be
// found who fits; they are left to others.
func AdmitBackfills(backfills []*openmatch.Backfill) []Backfill {
	var admitted []Backfill
	seen := make(map[string]bool, len(backfills))
	for _, b := range backfills {
		details := new(torikumiv1.BackfillDetails)
		if b.GetId() == "" || seen[b.GetId()] || contract.Get(b.GetExtensions(), contract.BackfillExtension, details) != nil {
			continue
		}
		seen[b.GetId()] = true
		admitted = append(admitted, Backfill{Backfill: b, Details: details})
	}
	slices.SortFunc(admitted, func(a, b Backfill) int { return cmp.Compare(a.Backfill.GetId(), b.Backfill.GetId()) })
	return admitted
}
