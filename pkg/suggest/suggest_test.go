package suggest_test

import (
	"strings"
	"testing"

	"torikumi/pkg/suggest"
)

func TestNearest(t *testing.T) {
	known := []string{"open-match", "open-match-ca", "queues", "retention"}
	for name, want := range map[string]string{
		"open-mtach":                       "open-match",
		"openmatch":                        "open-match",
		"RETENTION":                        "retention",
		"queue":                            "queues",
		"que":                              "",
		"rate":                             "",
		"qu":                               "",
		"":                                 "",
		"Open-Match-CA":                    "open-match-ca",
		strings.Repeat("open-match-ca", 4): "",
	} {
		if got := suggest.Nearest(name, known); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}
