// Package suggest finds what somebody has most likely meant who has misspelt a name, for the
// messages that tell of it.
package suggest

import (
	"strings"
	"unicode/utf8"
)

// Nearest returns the one of the known names that a name nearly is: but for capitals, or a
// character in four. It returns nothing if there is none, or too much to compare.
func Nearest(name string, known []string) string {
	length := utf8.RuneCountInString(name)
	best, least := "", max(length, 4)/4+1
	if length < 3 || length > 40 || len(known) > 100 {
		least = 0
	}
	for _, k := range known {
		if strings.EqualFold(name, k) {
			return k
		}
		// It takes an edit for each character that one has more.
		if n := utf8.RuneCountInString(k); max(n-length, length-n) < least {
			if e := edits(name, k); e < least {
				best, least = k, e
			}
		}
	}
	return best
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	from, to := []rune(a), []rune(b)
	row := make([]int, len(to)+1)
	for j := range row {
		row[j] = j
	}
	for i, r := range from {
		diagonal := row[0]
		row[0] = i + 1
		for j, s := range to {
			replaced := diagonal
			if r != s {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(to)]
}
