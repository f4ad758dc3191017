package ticketfile

import (
	"maps"
	"regexp"
	"slices"
	"unicode/utf8"

	"torikumi/pkg/queues"
	"torikumi/pkg/ruleset"
)

// What a ticket may hold is what the frontend takes from players, in its package
// api: a rule set is tried with what it will get.
const (
	maxPlayers = queues.MaxPlayers
	maxRegions = 64
	// maxLatency is in milliseconds.
	maxLatency = 60_000
	// maxEntries is the most strings in a list, and numbers in a map.
	maxEntries = 64
	// maxLength is the most characters of a string.
	maxLength = 256
)

// pattern is what names look like, and that in words.
type pattern struct {
	re   *regexp.Regexp
	rule string
}

var (
	playerName    = pattern{regexp.MustCompile(`^[A-Za-z0-9._:@|-]{1,128}$`), "must have 1 to 128 characters of [A-Za-z0-9._:@|-]"}
	regionName    = pattern{regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`), "must have 1 to 64 characters of [A-Za-z0-9_.-]"}
	attributeName = pattern{regexp.MustCompile(ruleset.NamePattern), ruleset.NameRule}
)

// names are those of some members, sorted.
func (v value) names(members map[string]value, p pattern, most int) ([]string, *mistake) {
	if err := v.entries(len(members), most); err != nil {
		return nil, err
	}
	sorted := slices.Sorted(maps.Keys(members))
	for _, name := range sorted {
		if !p.re.MatchString(name) {
			return nil, v.wrong("names %s, got %q", p.rule, shorten(name))
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
