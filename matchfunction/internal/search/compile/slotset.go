package compile

import "torikumi/pkg/ruleset"

// SlotSet is a set of teams of a match.
type SlotSet [(ruleset.MaxPlayers + 63) / 64]uint64

// Add takes a team in.
func (s *SlotSet) Add(slot int) { s[slot/64] |= 1 << (slot % 64) }

func (s *SlotSet) remove(slot int) { s[slot/64] &^= 1 << (slot % 64) }

// Has reports whether a team is in the set.
func (s *SlotSet) Has(slot int) bool { return s[slot/64]&(1<<(slot%64)) != 0 }

// Meets reports whether a team is in both sets.
func (s *SlotSet) Meets(o *SlotSet) bool {
	for i := range s {
		if s[i]&o[i] != 0 {
			return true
		}
	}
	return false
}
