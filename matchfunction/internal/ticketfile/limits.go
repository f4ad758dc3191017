package ticketfile

import (
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"torikumi/pkg/queues"
)

// What a ticket may hold. A recording is of what other systems took, so that these limits are
// at least theirs, and wider than those of our frontend.
const (
	maxPlayers = queues.MaxPlayers
	maxRegions = 64
	// maxEntries is the most strings in a list, and numbers in a map.
	maxEntries = 1000
	// maxLength is the most characters of a string or a name.
	maxLength = 1024
)

// named is the rule for names and ids.
var named = fmt.Sprintf("must have 1 to %d characters", maxLength)

func isName(s string) bool { return s != "" && utf8.RuneCountInString(s) <= maxLength }

// names are those of some members, sorted.
func (v value) names(members map[string]value, most int) ([]string, *mistake) {
	if err := v.entries(len(members), most); err != nil {
		return nil, err
	}
	sorted := slices.Sorted(maps.Keys(members))
	for _, name := range sorted {
		if !isName(name) {
			return nil, v.wrong("names %s, got %q", named, shorten(name))
		}
	}
	return sorted, nil
}

func (v value) entries(n, most int) *mistake {
	if n > most {
		return v.wrong("must have at most %d entries", most)
	}
	return nil
}

func (v value) length(s string) *mistake {
	if utf8.RuneCountInString(s) > maxLength {
		return v.wrong("must have at most %d characters", maxLength)
	}
	return nil
}

// shorten is a name as a message can hold it.
func shorten(name string) string {
	if r := []rune(name); len(r) > maxLength {
		return string(r[:maxLength]) + "..."
	}
	return name
}
