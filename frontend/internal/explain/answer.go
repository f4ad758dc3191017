package explain

import "time"

// answer is what the replicas of the match function say of one ticket. They do
// not say when they looked, and one whose runs have not had the ticket of late
// repeats for a while what it once saw. So the words of one replica give way
// only to what another has not said before, or when it says them no more.
type answer struct {
	text  string
	heard time.Time
	// from said text; empty when it no longer does.
	from string
	// said is, by replica, what each says.
	said map[string]string
}

// at is what is known at a time; empty if that is nothing.
func (a *answer) at(now time.Time) string {
	if now.Sub(a.heard) >= lifetime {
		return ""
	}
	return a.text
}

// hear takes in what a replica says, and reports whether that changes the text.
func (a *answer) hear(from, text string, now time.Time) bool {
	again := a.said[from] == text
	if a.said == nil {
		a.said = make(map[string]string)
	}
	a.said[from] = text
	if again && a.from != "" && a.from != from && a.at(now) != "" {
		return false
	}
	changed := a.text != text
	a.text, a.heard, a.from = text, now, from
	return changed
}

// silent takes in that a replica knows nothing.
func (a *answer) silent(from string) {
	delete(a.said, from)
	if a.from == from {
		a.from = ""
	}
}

// clear forgets everything, and reports whether there was a text.
func (a *answer) clear() bool {
	had := a.text != ""
	*a = answer{}
	return had
}
