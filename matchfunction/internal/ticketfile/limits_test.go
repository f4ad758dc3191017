package ticketfile

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// The frontend's limits are in its internal packages: both sides have to say the
// same.
func TestLimitsAreTheFrontends(t *testing.T) {
	for file, wants := range map[string][]string{
		"api/limits.go": {
			"`" + playerName.re.String() + "`", playerName.rule,
			"players\":\n\t\treturn Limit{Entries: queues.MaxPlayers}",
			"Limit{Pattern: ruleset.NamePattern, Entries: ruleset.MaxAttributes}",
			"Limit{Pattern: regionPattern, Entries: regions.Max, Max: 60_000, Unit: \"milliseconds\"}",
			fmt.Sprintf("Limit{Length: %d}", maxLength),
			fmt.Sprintf("Limit{Entries: %d, Length: %d}", maxEntries, maxLength),
			fmt.Sprintf("Limit{Pattern: ruleset.NamePattern, Entries: %d}", maxEntries),
		},
		"regions/regions.go": {"`" + regionName.re.String() + "`", regionName.rule, fmt.Sprintf("Max = %d", maxRegions)},
	} {
		text, err := os.ReadFile("../../../frontend/internal/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s lacks %s", file, want)
			}
		}
	}
}
