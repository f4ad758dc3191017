package module

import (
	"cmp"
	"strings"
	"unicode"
)

// mostSaid is the longest text that a match function takes, in bytes.
const mostSaid = 1024

// clean makes a text that the match function takes of any.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r // what is no UTF-8 becomes U+FFFD
	}, text)
	if len(text) > mostSaid {
		text = strings.ToValidUTF8(text[:mostSaid], "")
	}
	return cmp.Or(text, "refused")
}
