package engine

import (
	"cmp"
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
	// OtherTicket: one of the players has a younger ticket in the pools. Open
	// Match keeps a ticket that its owner forgot for ever, so the youngest is
	// the one that somebody waits for.
	OtherTicket Reason = "other_ticket"
)

// Admit reads the tickets of all pools: each once, in order of id, broken ones
// and expired ones left out, and no player in two of them.
func Admit(read []tickets.Read, now time.Time, skipped func(*openmatch.Ticket, Reason)) []Ticket {
	read = slices.Clone(read)
	slices.SortStableFunc(read, func(a, b tickets.Read) int { return cmp.Compare(a.Ticket.GetId(), b.Ticket.GetId()) })
	read = slices.CompactFunc(read, func(a, b tickets.Read) bool {
		return a.Ticket.GetId() != "" && a.Ticket.GetId() == b.Ticket.GetId()
	})

	admitted := make([]Ticket, 0, len(read))
	of := make(map[string]int, len(read)) // player to position in admitted
	twice := false
	for _, r := range read {
		t, details := r.Ticket, r.Details
		if t.GetId() == "" {
			skipped(t, BadID)
			continue
		}
		if r.Err != nil {
			skipped(t, BadDetails)
			continue
		}
		if e := details.GetExpireTime(); e != nil && !now.Before(e.AsTime()) {
			skipped(t, Expired)
			continue
		}
		at := len(admitted)
		admitted = append(admitted, Ticket{Ticket: t, Details: details})
		for _, p := range details.GetPlayers() {
			other, known := of[p.GetId()]
			if p.GetId() == "" || (known && other == at) {
				skipped(t, BadPlayers)
				admitted = admitted[:at]
				break
			}
			twice = twice || known
			of[p.GetId()] = at
		}
	}
	if twice {
		return oncePerPlayer(admitted, skipped)
	}
	return admitted
}

// oncePerPlayer keeps, youngest first, the tickets none of whose players is
// in one that is kept.
func oncePerPlayer(tickets []Ticket, skipped func(*openmatch.Ticket, Reason)) []Ticket {
	byAge := slices.Clone(tickets)
	slices.SortFunc(byAge, func(a, b Ticket) int {
		return cmp.Or(b.Ticket.GetCreateTime().AsTime().Compare(a.Ticket.GetCreateTime().AsTime()),
			cmp.Compare(a.Ticket.GetId(), b.Ticket.GetId()))
	})
	playing := make(map[string]bool, len(tickets))
	kept := byAge[:0]
next:
	for _, t := range byAge {
		for _, p := range t.Details.GetPlayers() {
			if playing[p.GetId()] {
				skipped(t.Ticket, OtherTicket)
				continue next
			}
		}
		for _, p := range t.Details.GetPlayers() {
			playing[p.GetId()] = true
		}
		kept = append(kept, t)
	}
	slices.SortFunc(kept, func(a, b Ticket) int { return cmp.Compare(a.Ticket.GetId(), b.Ticket.GetId()) })
	return kept
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
