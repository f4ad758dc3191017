package simulate

import (
	"slices"
	"time"

	"torikumi/matchfunction/rule"
)

// MaxLength is how long a simulated day may be, and how much later than the first
// ticket of a recording the last one may come.
const MaxLength = 7 * 24 * time.Hour

// Busiest returns the tickets that came within the MaxLength in which most did, the
// latest such stretch if there are several. The order stays. A recording may hold
// tickets without a time, which programs write as the year 1 or as 1970: a day that
// began with them would have no end.
func Busiest(tickets []rule.Ticket) []rule.Ticket {
	times := make([]time.Time, len(tickets))
	for i := range tickets {
		times[i] = tickets[i].Created
	}
	slices.SortFunc(times, time.Time.Compare)
	first, most := 0, 0
	var from, to time.Time
	for last := range times {
		for times[last].Sub(times[first]) > MaxLength {
			first++
		}
		if n := last - first + 1; n >= most {
			most, from, to = n, times[first], times[last]
		}
	}
	out := make([]rule.Ticket, 0, most)
	for i := range tickets {
		if at := tickets[i].Created; !at.Before(from) && !at.After(to) {
			out = append(out, tickets[i])
		}
	}
	return out
}
