package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// warningsOf lints a rule set with two teams, red of 2 to 4 and blue of 1 to 3,
// and these rules.
func warningsOf(t *testing.T, rules string) []string {
	t.Helper()
	return expandedWarnings(t, rules, "")
}

func expandedWarnings(t *testing.T, rules, expansions string) []string {
	t.Helper()
	text := `{"ruleLanguageVersion": "1.0",
		"playerAttributes": [{"name": "skill", "type": "number"}, {"name": "level", "type": "number"}, {"name": "mode", "type": "string"}, {"name": "maps", "type": "string_list"}],
		"teams": [{"name": "red", "minPlayers": 2, "maxPlayers": 4}, {"name": "blue", "minPlayers": 1, "maxPlayers": 3}],
		"rules": [{"name": "Reads", "type": "expression", "expression": "players.all(p, p.attributes.skill > 0.0 && p.attributes.level > 0.0 && p.attributes.mode != '' && p.attributes.maps.size() > 0)"}, ` + rules + `], "expansions": [` + expansions + `]}`
	file := filepath.Join(t.TempDir(), "rules.json")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, out, errs := call("lint", "--json", file)
	var got struct {
		Files []struct {
			Errors, Warnings []struct{ Rule, Message string }
		}
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || len(got.Files) != 1 {
		t.Fatalf("%q %q: %v", out, errs, err)
	}
	for _, e := range got.Files[0].Errors {
		t.Fatalf("%s: %s", e.Rule, e.Message)
	}
	var all []string
	for _, w := range got.Files[0].Warnings {
		all = append(all, w.Rule+": "+w.Message)
	}
	return all
}

func TestLintFindsWhatIsNeverOrAlwaysTrue(t *testing.T) {
	cel := func(text string) string {
		return fmt.Sprintf(`{"name": "R", "type": "expression", "expression": %q}`, text)
	}
	rule := func(rest string) string { return `{"name": "R", ` + rest + `}` }
	compare := func(measured, operation, reference string) string {
		return rule(fmt.Sprintf(`"type": "comparison", "measurements": [%q], "operation": %q, "referenceValue": %s`, measured, operation, reference))
	}
	with := func(statement string) string {
		return `{"name": "A", "type": "latency", "maxLatency": 50}, {"name": "B", "type": "latency", "maxLatency": 90},
			{"name": "Never", "type": "comparison", "measurements": ["count(teams[red].players)"], "operation": ">", "referenceValue": 9},
			{"name": "Even", "type": "teamSizeBalance", "maxDifference": 9}, ` + rule(`"type": "compound", "statement": "`+statement+`"`)
	}
	const never, always = "R: no match can keep this rule: ", "R: no match can break this rule: "
	for rules, want := range map[string]string{
		cel("false"):                       never + "its expression is always false",
		cel("1 / 0 == 1"):                  never + "its expression always fails: division by zero",
		cel("[1, 2].exists(x, x > 2)"):     never,
		cel("wait < 10.0 && false"):        never,
		cel("true || wait > 1.0"):          always + "its expression is always true",
		cel("1 + 1 == 2"):                  always,
		cel("1.0 / 0.0 > 5.0"):             always,
		cel("wait / 0.0 > 5.0"):            "",
		cel("players.size() > 2"):          "",
		cel("region == 'eu' || 1 / 0 > 1"): "",

		compare("count(teams[red].players)", ">", "4"):                               never + "count(teams[red].players) is from 2 to 4",
		compare("count(teams[red].players)", "=", "1"):                               never,
		compare("count(teams[*].players)", "<", "2"):                                 never,
		compare("min(count(teams[*].players))", ">=", "4"):                           never,
		compare("sum(count(teams[*].players))", ">", "7"):                            never,
		compare("avg(count(teams[*].players))", "<", "1.5"):                          never,
		compare("count(flatten(teams[*].players))", "=", "8"):                        never,
		compare("count(teams[red].players)", "<=", "4"):                              always,
		compare("count(teams[red].players)", "!=", "5"):                              always,
		compare("count(teams[red].players)", "=", "3"):                               "",
		compare("max(count(teams[*].players))", ">", `"count(teams[blue].players)"`): "",
		compare("count(teams[red].players)", "<", `"count(teams[blue].players)"`):    "",

		compare("flatten(teams[*].players.attributes[mode])", "=", `["ctf", "koth"]`):     never + `with =, each value has to equal both "ctf" and "koth"; for one of them, write a rule for each`,
		compare("flatten(teams[*].players.attributes[mode])", "=", `["ctf", "ctf"]`):      "",
		compare("flatten(teams[*].players.attributes[mode])", "!=", `["ctf", "koth"]`):    "",
		compare("teams[red].players.attributes[skill]", "=", `[1, "2"]`):                  never + "with =, each value has to equal both 1 and 2",
		compare("avg(flatten(teams[*].players.attributes[skill]))", "=", "[1, 1, 2]"):     never,
		compare("count(teams[red].players)", "=", "[2, 3]"):                               never + "with =, each value has to equal both 2 and 3",
		compare("flatten(teams[*].players.attributes[skill])", ">", "[1, 2]"):             "",
		compare("set_intersection(teams[*].players.attributes[mode])", "=", `["a", "b"]`): "",

		rule(`"type": "distance", "measurements": ["count(teams[red].players)"], "referenceValue": 10, "maxDistance": 3`):                           never,
		rule(`"type": "distance", "measurements": ["count(teams[red].players)"], "referenceValue": "count(teams[blue].players)", "minDistance": 4`): never,
		rule(`"type": "distance", "measurements": ["count(teams[red].players)"], "referenceValue": 3, "maxDistance": 1`):                            always,
		rule(`"type": "distance", "measurements": ["count(teams[red].players)"], "referenceValue": 3, "maxDistance": 0`):                            "",

		rule(`"type": "collection", "operation": "reference_intersection_count", "measurements": ["teams[*].players.attributes[maps]"], "referenceValue": ["a", "b", "a"], "minCount": 3`): never,
		rule(`"type": "collection", "operation": "contains", "measurements": ["flatten(teams[*].players.attributes[maps])"], "referenceValue": "a", "minCount": 8`):                        never,
		rule(`"type": "collection", "operation": "contains", "measurements": ["flatten(teams[*].players.attributes[maps])"], "referenceValue": "a", "minCount": 7`):                        "",

		with("and(A, not(A))"):        never + "its statement is false",
		with("or(A, not(A))"):         always,
		with("and(A, Never)"):         never,
		with("xor(A, A)"):             never,
		with("or(A, not(Never))"):     always,
		with("or(and(A, B), not(B))"): "",
		with("and(A, not(B), Never)"): never,
		with("and(A, not(Even))"):     never + "its statement is false",
		with("or(A, Even)"):           always,

		compare("flatten(teams[*].players.attributes[skill])", ">=", "50") + `, {"name": "S", "type": "comparison", "measurements": ["max(flatten(teams[*].players.attributes[skill]))"], "operation": "<", "referenceValue": 50}`:         `S: no match can keep this rule and the rule "R": of skill they leave no value`,
		compare("flatten(teams[*].players.attributes[skill])", ">=", "50") + `, {"name": "S", "type": "comparison", "measurements": ["max(flatten(teams[*].players.attributes[skill]))"], "operation": "<=", "referenceValue": 50}`:        "",
		compare("teams[red].players.attributes[skill]", ">=", "50") + `, {"name": "S", "type": "comparison", "measurements": ["teams[blue].players.attributes[skill]"], "operation": "<", "referenceValue": 50}`:                           "",
		compare("teams[red].players.attributes[skill]", ">=", "50") + `, {"name": "S", "type": "comparison", "measurements": ["teams[red].players.attributes[skill]"], "operation": "<", "referenceValue": 50, "partyAggregation": "min"}`: "",
		compare("teams[red].players.attributes[mode]", "=", `"ctf"`) + `, {"name": "S", "type": "comparison", "measurements": ["teams[*].players.attributes[mode]"], "operation": "=", "referenceValue": "duel"}`:                          `S: no match can keep this rule and the rule "R": mode can't be both "ctf" and "duel"`,
	} {
		got := warningsOf(t, rules)
		of := ""
		for _, w := range got {
			if strings.HasPrefix(w, "R: ") || strings.HasPrefix(w, "S: ") {
				of += w
			}
		}
		if want == "" && of != "" || !strings.HasPrefix(of, want) {
			t.Errorf("%s\ngot  %q\nwant %q", rules, got, want)
		}
	}
}

// TestLintOfPairs: rules that exclude each other, or themselves. F are the numbers of
// all players, and P those of red.
func TestLintOfPairs(t *testing.T) {
	names := strings.NewReplacer("FF", "flatten(teams[*].players.attributes[skill])", "PP", "teams[red].players.attributes[skill]",
		"MODE", "flatten(teams[*].players.attributes[mode])", "MAPS", "flatten(teams[*].players.attributes[maps])")
	comparison := func(measured, operation, reference string) string {
		return fmt.Sprintf(`"type": "comparison", "measurements": [%q], "operation": %q, "referenceValue": %s`, measured, operation, reference)
	}
	distance := func(measured, reference, limits string) string {
		return fmt.Sprintf(`"type": "distance", "measurements": [%q], "referenceValue": %s, %s`, measured, reference, limits)
	}
	collection := func(operation, limits string) string {
		return fmt.Sprintf(`"type": "collection", "measurements": ["MAPS"], "operation": %q, %s`, operation, limits)
	}
	const itself, both = "S: no match can keep this rule: ", `S: no match can keep this rule and the rule "R": `
	for _, tt := range []struct{ r, s, want string }{
		{"", distance("FF", "[10, 100]", `"maxDistance": 5`), itself + "no number is as far as it says from each of [10,100]"},
		{"", distance("FF", "[10, 20]", `"maxDistance": 5`), ""},
		{"", distance("FF", "[10, 20]", `"minDistance": 6`), ""},
		{"", distance("FF", "[10, 20]", `"minDistance": 6, "maxDistance": 7`), itself},
		{"", distance("FF", `"FF"`, `"minDistance": 1`), itself + "values are compared with themselves, at a distance of 0, and minDistance is 1"},
		{"", distance("FF", `"PP"`, `"minDistance": 1`), itself},
		{"", distance("FF", `"PP"`, `"maxDistance": 1`), ""},
		{"", distance("PP", `"teams[blue].players.attributes[skill]"`, `"minDistance": 1`), ""},
		{"", comparison("FF", "!=", `"FF"`), itself + "values are compared with themselves, and none is != itself"},
		{"", comparison("MODE", "!=", `"MODE"`), itself},
		{"", comparison("max(FF)", ">", `"max(FF)"`), itself},
		{"", comparison("max(FF)", ">", `"avg(FF)"`), ""},
		{"", comparison("FF", "<=", `"FF"`), ""},
		{"", comparison("FF", "=", `"FF"`), ""},

		{distance("FF", "10", `"maxDistance": 5`), distance("FF", "100", `"maxDistance": 5`), both + "of skill they leave no value"},
		{distance("FF", "10", `"maxDistance": 5`), distance("PP", "100", `"maxDistance": 5`), both},
		{distance("FF", "10", `"maxDistance": 5`), distance("FF", "20", `"maxDistance": 5`), ""},
		{distance("FF", "10", `"maxDistance": 5`), distance("FF", "10", `"minDistance": 6`), both},
		{distance("FF", "10", `"maxDistance": 5`), comparison("FF", ">", "15"), ""}, // but for rounding
		{distance("FF", "10", `"maxDistance": 5`), comparison("FF", ">", "15.1"), both},
		{distance("FF", "10", `"maxDistance": 5`), comparison("avg(FF)", ">", "16"), both + "of avg(flatten(teams[*].players.attributes[skill])) they leave no value"},
		{distance("max(FF)", `"min(FF)"`, `"minDistance": 10`), distance("max(FF)", `"min(FF)"`, `"maxDistance": 5`), both + "of the difference between max("},
		{distance("max(FF)", `"min(FF)"`, `"minDistance": 10`), distance("min(FF)", `"max(FF)"`, `"maxDistance": 5`), both},
		{distance("max(FF)", `"min(FF)"`, `"minDistance": 5`), distance("max(FF)", `"min(FF)"`, `"maxDistance": 10`), ""},
		{distance("max(FF)", `"min(FF)"`, `"minDistance": 10`), distance("avg(FF)", `"min(FF)"`, `"maxDistance": 5`), ""},
		{distance("max(FF)", `"min(FF)"`, `"minDistance": 10`), comparison("max(FF)", "=", `"min(FF)"`), both},
		{comparison("avg(PP)", ">", `"avg(FF)"`), comparison("avg(FF)", ">", `"avg(PP)"`), both},
		{comparison("avg(PP)", ">=", `"avg(FF)"`), comparison("avg(FF)", ">=", `"avg(PP)"`), ""},

		{comparison("avg(FF)", ">", "10"), comparison("avg(FF)", "<", "10"), both + "of avg("},
		{comparison("avg(FF)", ">=", "10"), comparison("avg(FF)", "<=", "10"), ""},
		{comparison("avg(FF)", ">", "10"), comparison("avg(PP)", "<", "10"), ""},
		{comparison("avg(FF)", ">", "10"), strings.Replace(comparison("avg(FF)", "<", "10"), `"meas`, `"partyAggregation": "max", "meas`, 1), ""},
		{comparison("avg(FF)", "=", "10"), comparison("avg(FF)", "!=", "[9, 10]"), both},
		{comparison("avg(FF)", ">", "10"), comparison("max(FF)", "<", "9"), both},
		{comparison("avg(FF)", ">", "10"), comparison("max(FF)", "<=", "10"), ""}, // but for rounding
		{comparison("avg(PP)", ">", "10"), comparison("FF", "<", "9"), both},
		{comparison("avg(FF)", ">", "10"), comparison("PP", "<", "9"), ""},
		{comparison("max(FF)", ">", "10"), comparison("min(FF)", "<", "9"), ""},
		{comparison("max(FF)", "<", "9"), comparison("min(FF)", ">", "10"), both},
		{comparison("min(avg(teams[*].players.attributes[skill]))", ">", "10"), comparison("max(avg(teams[*].players.attributes[skill]))", "<", "9"), both},
		{comparison("stddev(FF)", ">", "10"), comparison("max(FF)", "<", "9"), ""},
		{comparison("FF", "<", "[10, 50]"), comparison("FF", ">", "20"), both},
		{comparison("FF", "!=", "[10, 50]"), comparison("FF", ">", "20"), ""},

		{comparison("MODE", "=", `"ctf"`), comparison("MODE", "!=", `"ctf"`), both + "of mode they leave no value"},
		{comparison("MODE", "!=", `["koth", "ctf"]`), comparison("teams[red].players.attributes[mode]", "=", `"ctf"`), both},
		{comparison("MODE", "!=", `["koth"]`), comparison("MODE", "=", `"ctf"`), ""},
		{comparison("teams[red].players.attributes[mode]", "=", `"ctf"`), comparison("teams[blue].players.attributes[mode]", "!=", `"ctf"`), ""},
		{comparison("flatten(teams[*].players.playerId)", "!=", `"ann"`), comparison("teams[red].players.playerId", "=", `"ann"`), both},

		{collection("intersection", `"minCount": 1`), collection("intersection", `"maxCount": 0`), both + `of the count of "intersection" they leave no value`},
		{collection("intersection", `"minCount": 1`), collection("intersection", `"maxCount": 1`), ""},
		{collection("intersection", `"minCount": 1`), collection("intersection", `"maxCount": 0, "partyAggregation": "intersection"`), ""},
		{collection("contains", `"minCount": 2, "referenceValue": "a"`), collection("contains", `"maxCount": 1, "referenceValue": "a"`), both},
		{collection("contains", `"minCount": 2, "referenceValue": "a"`), collection("contains", `"maxCount": 1, "referenceValue": "b"`), ""},
		{collection("contains", `"minCount": 2, "referenceValue": "a"`), strings.Replace(collection("contains", `"maxCount": 1, "referenceValue": "a"`), "MAPS", "teams[*].players.attributes[maps]", 1), ""},
	} {
		rules := fmt.Sprintf(`{"name": "S", %s}`, tt.s)
		if tt.r != "" {
			rules = fmt.Sprintf(`{"name": "R", %s}, `, tt.r) + rules
		}
		checkWarnings(t, names.Replace(rules), tt.want)
		if tt.r == "" {
			continue
		}
		// As parts of a statement.
		for statement, want := range map[string]string{"and(R, S)": `C: no match can keep this rule: the rules "R" and "S" exclude each other, as `,
			"not(and(R, S))": "C: no match can break this rule: ", "or(R, S)": "", "and(R, not(S))": ""} {
			if tt.want == "" {
				want = ""
			}
			checkWarnings(t, names.Replace(rules)+`, {"name": "C", "type": "compound", "statement": "`+statement+`"}`, want)
		}
	}
}

// checkWarnings compares how the warnings of the rules R, S and C begin.
func checkWarnings(t *testing.T, rules, want string) {
	t.Helper()
	got := ""
	for _, w := range warningsOf(t, rules) {
		if strings.HasPrefix(w, "R: ") || strings.HasPrefix(w, "S: ") || strings.HasPrefix(w, "C: ") {
			got += w
		}
	}
	if want == "" && got != "" || !strings.HasPrefix(got, want) {
		t.Errorf("%s\ngot  %q\nwant %q", rules, got, want)
	}
}

// TestLintOfRoles: a team that may stay empty has a quota too.
func TestLintOfRoles(t *testing.T) {
	for _, tt := range []struct {
		least, most   int
		roles, reason string
	}{
		{0, 1, `{"role": "tank", "min": 1}, {"role": "heal", "min": 1}`, `the roles need 2 players, team "red" has at most 1`},
		{0, 2, `{"role": "tank", "min": 1}, {"role": "heal", "min": 1}`, ""},
		{3, 4, `{"role": "tank", "max": 2}`, `the roles are for at most 2 players, team "red" has at least 3`},
		{0, 4, `{"role": "tank", "max": 2}`, ""},
	} {
		text := fmt.Sprintf(`{"ruleLanguageVersion": "1.0", "playerAttributes": [{"name": "roles", "type": "string_list"}],
			"teams": [{"name": "red", "minPlayers": %d, "maxPlayers": %d}, {"name": "blue", "minPlayers": 1, "maxPlayers": 2}],
			"rules": [{"name": "R", "type": "roleQuota", "attribute": "roles", "teams": ["red"], "roles": [%s]}]}`, tt.least, tt.most, tt.roles)
		file := filepath.Join(t.TempDir(), "rules.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, out, errs := call("lint", file)
		if strings.Contains(out+errs, "no match can keep this rule: "+tt.reason) != (tt.reason != "") {
			t.Errorf("%d to %d, %s: %s%s", tt.least, tt.most, tt.roles, out, errs)
		}
	}
}
