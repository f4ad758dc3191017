package token

import (
	"strings"
	"testing"
)

func TestFoldAgreesWithEqualFold(t *testing.T) {
	names := []string{"", "kid", "KID", "Kid", "\u212aid", "use", "u\u017fe", "ÉTÉ", "été", "aud", "sub", "ǅ", "ǆ"}
	for _, a := range names {
		for _, b := range names {
			if got, want := fold(a) == fold(b), strings.EqualFold(a, b); got != want {
				t.Errorf("%q and %q: folded equal %v, EqualFold %v", a, b, got, want)
			}
		}
	}
}
