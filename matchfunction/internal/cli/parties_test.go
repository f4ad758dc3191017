package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"torikumi/pkg/service"
)

// TestPartiesFitSomeStage: a party has to fit into a team at some wait, whatever the size
// of the teams is at first.
func TestPartiesFitSomeStage(t *testing.T) {
	const tooLarge = "--parties: the largest team has %d players, a party of %d fits into none"
	step := func(target string, values ...int) string {
		var steps []string
		for i, v := range values {
			steps = append(steps, fmt.Sprintf(`{"waitTimeSeconds":%d,"value":%d}`, 30*(i+1), v))
		}
		return fmt.Sprintf(`{"target":%q,"steps":[%s]}`, target, strings.Join(steps, ","))
	}
	for _, tt := range []struct{ parties, expansions, refused string }{
		{"1:1", "", ""},
		{"2:1", "", fmt.Sprintf(tooLarge, 1, 2)},
		{"2:1", step("teams[*].maxPlayers", 2), ""},
		{"1:1,2:1", step("teams[b].maxPlayers", 2), ""},
		{"3:1", step("teams[*].maxPlayers", 2), fmt.Sprintf(tooLarge, 2, 3)},
		{"3:1", step("teams[*].maxPlayers", 2, 3), ""},
		{"3:1", step("teams[*].maxPlayers", 3, 2), ""}, // from 30 s to 60 s
		{"4:1", step("teams[*].maxPlayers", 3, 2), fmt.Sprintf(tooLarge, 3, 4)},
	} {
		rules := writeTemp(t, strings.TrimSuffix(pairRules, "}")+`,"expansions":[`+tt.expansions+"]}")
		for _, way := range [][]string{{"--generate=20"}, {"--day", "--rate=5", "--length=10m", "--cycle=10s"}} {
			code, out, errs := call(append([]string{"simulate", "--json", "--rules=" + rules, "--parties=" + tt.parties}, way...)...)
			if tt.refused != "" {
				if code != service.ExitFailed || !strings.Contains(errs, tt.refused) {
					t.Errorf("%+v %s: exit %d: %s%s", tt, way, code, out, errs)
				}
				continue
			}
			if code != 0 || errs != "" {
				t.Errorf("%+v %s: exit %d: %s%s", tt, way, code, out, errs)
			}
		}
	}
}

// TestPartiesWaitForTheirTeams: parties that fit only once teams have grown are matched in
// a day, then.
func TestPartiesWaitForTheirTeams(t *testing.T) {
	rules := writeTemp(t, strings.TrimSuffix(pairRules, "}")+`,"expansions":[{"target":"teams[*].maxPlayers","steps":[{"waitTimeSeconds":30,"value":2}]}]}`)
	code, out, errs := call("simulate", "--json", "--day", "--rules="+rules, "--parties=2:1", "--rate=5", "--length=30m", "--cycle=5s")
	var day dayJSON
	if err := json.Unmarshal([]byte(out), &day); code != 0 || err != nil {
		t.Fatalf("exit %d: %v %s%s", code, err, out, errs)
	}
	if r := day.Strategies[0]; r.Matches == 0 || r.WaitP50 < 30 {
		t.Errorf("got %+v, want matches of those who have waited 30 s", r)
	}
}
