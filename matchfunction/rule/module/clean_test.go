package module

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func FuzzClean(f *testing.F) {
	for _, text := range []string{"", "they are at war", "a\nb\x00", "\xff\xfe", strings.Repeat("é", 600), strings.Repeat("\xff", 2000)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := clean(text)
		if got == "" || len(got) > mostSaid || !utf8.ValidString(got) || strings.ContainsFunc(got, unicode.IsControl) {
			t.Fatalf("%q becomes %q", text, got)
		}
	})
}
