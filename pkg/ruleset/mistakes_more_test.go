package ruleset_test

import (
	"errors"
	"strings"
	"testing"

	"torikumi/pkg/ruleset"
)

func measured(expression string) string {
	return `[{"name": "A", "type": "comparison", "operation": "=", "referenceValue": 1, "measurements": ["` + expression + `"]}]`
}

const inMeasurement = `rules[0].measurements[0] (rule "A"): `

var expressionMistakes = []mistake{
	{"empty", "rules", measured("^"), inMeasurement + `an expression is missing: teams[…].players… or a function of it`},
	{"literal", "rules", measured("^skill"), inMeasurement + `"skill" is neither teams[…] nor a function: min, max, avg, median, sum, count, stddev, flatten, set_intersection`},
	{"nearly a function", "rules", measured("^averag(teams[red].players.attributes[skill])"),
		inMeasurement + `"averag" is neither teams[…] nor a function: min, max, avg, median, sum, count, stddev, flatten, set_intersection`},
	{"function in capitals", "rules", measured("max(^AVG(teams[red].players.attributes[skill]))"),
		inMeasurement + `"AVG" is neither teams[…] nor a function: min, max, avg, median, sum, count, stddev, flatten, set_intersection; did you mean "avg"?`},
	{"no parenthesis", "rules", measured("avg^[teams[red].players.attributes[skill]]"), inMeasurement + `'(' is missing`},
	{"open parenthesis", "rules", measured("avg(teams[red].players.attributes[skill]^"), inMeasurement + `')' is missing`},
	{"more than an expression", "rules", measured("count(teams[red].players) ^+ 1"), inMeasurement + `unexpected '+' after the expression`},
	{"no team", "rules", measured("count(teams[^green].players)"), inMeasurement + `there is no team "green"`},
	{"nearly a team", "rules", measured("count(teams[red, ^blu].players)"), inMeasurement + `there is no team "blu"; did you mean "blue"?`},
	{"team twice", "rules", measured("count(teams[red,red^].players)"), inMeasurement + `a team is named twice`},
	{"open bracket", "rules", measured("count(teams[^red.players)"), inMeasurement + `there is no team "red.players)"`},
	{"teams alone", "rules", measured("count(teams[red]^)"), inMeasurement + `.players is missing after the teams`},
	{"something of teams", "rules", measured("count(teams[red].^player)"), inMeasurement + `players is missing after the teams; did you mean "players"?`},
	{"players alone", "rules", strings.Replace(measured("teams[red].players"), `"teams`, `^"teams`, 1), inMeasurement + `is a list of players; players can only be counted, or read: .players.attributes[NAME]`},
	{"something of players", "rules", measured("teams[red].players.^attribute[skill]"), inMeasurement + `must be attributes[NAME] or playerId; did you mean "attributes"?`},
	{"index of players", "rules", measured("teams[red].players[^0]"), inMeasurement + `must be playerId, not "0"`},
	{"no attribute", "rules", measured("avg(teams[red].players.attributes[^skil])"), inMeasurement + `attribute "skil" is not declared in playerAttributes; did you mean "skill"?`},
	{"a map", "rules", measured("teams[red].players.attributes[^maps]"), inMeasurement + `attribute "maps" can't be read in an expression: it is a string_number_map`},
	{"average of strings", "rules", measured("^avg(teams[red].players.attributes[mode])"), inMeasurement + `avg takes a list of numbers, not a list of strings`},
	{"average of a number", "rules", measured("max(^avg(avg(teams[red].players.attributes[skill])))"), inMeasurement + `avg takes a list of numbers, not a number`},
	{"count of a number", "rules", measured("^count(count(teams[red].players))"), inMeasurement + `count takes a list, not a number`},
	{"flat list", "rules", measured("^flatten(teams[red].players.attributes[skill])"), inMeasurement + `flatten takes a list of lists, not a list of numbers`},
	{"intersection of strings", "rules", measured("^set_intersection(teams[red].players.attributes[mode])"),
		inMeasurement + `set_intersection takes a list of lists of strings, not a list of strings`},
	{"average of players", "rules", measured("^sum(teams[*].players)"), inMeasurement + `sum takes a list of numbers, not a list of lists of players`},
	{"too deep", "rules", measured(strings.Repeat("avg(", 33) + "^avg("), inMeasurement + `is nested deeper than 32 levels`},
	{"behind escapes", "rules", measured(`count(\u0074eams[red,\t^gr\u00fcn].players)`), inMeasurement + `there is no team "grün"`},
	{"behind a pair of escapes", "rules", measured(`\ud83d\ude00`)[:0] + measured(`teams[red].players.attributes[^\ud83d\ude00x]`),
		inMeasurement + `attribute "😀x" is not declared in playerAttributes`},
	{"behind wide characters", "rules", `[{"description": "評価 😀", "name": "A", "type": "comparison", "operation": "=", "referenceValue": 1, "measurements": ["count(teams[^赤].players)"]}]`,
		inMeasurement + `there is no team "赤"`},
	{"in a reference", "rules", `[{"name": "A", "type": "comparison", "operation": "=", "measurements": ["count(teams[red].players)"], "referenceValue": "count(team[^blues].players)"}]`,
		`rules[0].referenceValue (rule "A"): there is no team "blues"; did you mean "blue"?`},
}

func stated(statement string) string {
	return `[{"name": "A", "type": "latency", "maxLatency": 1},
    {"name": "B", "type": "latency", "maxLatency": 2},
    {"name": "D", "type": "batchDistance", "batchAttribute": "mode"},
    {"name": "S", "type": "absoluteSort", "sortAttribute": "skill", "sortDirection": "ascending"},
    {"name": "E", "type": "compound", "statement": "not(A)"},
    {"name": "C", "type": "compound", "statement": "` + statement + `"},
    {"name": "Z", "type": "latency", "maxLatency": 3}]`
}

const inStatement = `rules[5].statement (rule "C"): `

// kindWords is what is said of a type of rules that there is not.
const kindWords = `must be "comparison", "distance", "batchDistance", "collection", "latency", "distanceSort", "absoluteSort", "compound", "expression", "custom", "teamDifference", "teamSizeBalance", "similarPartySizes" or "roleQuota"`

var statementMistakes = []mistake{
	{"empty", "rules", stated("^"), inStatement + `a rule's name or one of and(…), or(…), not(…), xor(…) is missing`},
	{"no rule", "rules", stated("and(A, ^F)"), inStatement + `there is no rule "F" above this one`},
	{"below", "rules", stated("and(A, ^Z)"), inStatement + `there is no rule "Z" above this one`},
	{"itself", "rules", stated("or(A, ^C)"), inStatement + `there is no rule "C" above this one`},
	{"a compound rule", "rules", stated("or(A, ^E)"), inStatement + `rule "E" is a compound rule, which a compound rule can't name`},
	{"a batch rule", "rules", stated("or(A, ^D)"), inStatement + `rule "D" is a batchDistance rule, which a compound rule can't name`},
	{"a sort", "rules", stated("or(A, ^S)"), inStatement + `rule "S" is an absoluteSort rule, which a compound rule can't name`},
	{"no connective", "rules", stated("or(A, ^nand(A, B))"), inStatement + `"nand" is none of and, or, not, xor; did you mean "and"?`},
	{"connective in capitals", "rules", stated("^OR(A, B)"), inStatement + `"OR" is none of and, or, not, xor; did you mean "or"?`},
	{"one part", "rules", stated("not(^or(A))"), inStatement + `or(…) takes at least two parts`},
	{"two parts of not", "rules", stated("^not(A, B)"), inStatement + `not(…) takes one part, not 2`},
	{"no part", "rules", stated("and(A, ^)"), inStatement + `a rule's name or one of and(…), or(…), not(…), xor(…) is missing`},
	{"open", "rules", stated("and(A, not(B)^"), inStatement + `a comma or a closing parenthesis of and( is missing`},
	{"closed twice", "rules", stated("and(A, B)^)"), inStatement + `unexpected ')' after the statement`},
	{"too deep", "rules", stated(strings.Repeat("not(", 33) + "^A"), inStatement + `is nested deeper than 32 levels`},
	{"optional part", "rules", `[{"name": "A", "type": "latency", "maxLatency": 1, "secondsUntilOptional": ^5}, {"name": "C", "type": "compound", "statement": "not(A)"}]`,
		`rules[0].secondsUntilOptional (rule "A"): a rule that a compound rule names can't become optional; the compound rule can`},
	{"a rule of no known type", "rules", `[{"name": "A", "type": ^"latencies"}, {"name": "C", "type": "compound", "statement": "not(A)"}]`, `rules[0].type (rule "A"): ` + kindWords + `, not "latencies"`},
	{"a rule without a type", "rules", `[^{"name": "A"}, {"name": "C", "type": "compound", "statement": "A"}]`, `rules[0] (rule "A"): type is missing`},
	{"a rule whose type is no text", "rules", `[{"name": "A", "type": ^7}, {"name": "C", "type": "compound", "statement": "and(A, A)"}]`, `rules[0].type (rule "A"): must be a string, not the number 7`},
	{"a rule with an empty type", "rules", `[{"name": "A", "type": ^""}, {"name": "C", "type": "compound", "statement": "and(A, A)"}]`, `rules[0].type (rule "A"): ` + kindWords + `, not ""`},
	{"no text", "rules", `[{"name": "C", "type": "compound", "statement": ^{"and": []}}]`, `rules[0].statement (rule "C"): must be a string, not an object`},
}

func expanded(target, steps string) string {
	return `[{"target": ` + target + `, "steps": ` + steps + `}]`
}

const oneStep = `[{"waitTimeSeconds": 5, "value": 9}]`

const inTarget = `expansions[0].target: `

var expansionMistakes = []mistake{
	{"no target", "expansions", `[^{"steps": ` + oneStep + `}]`, `expansions[0]: target is missing`},
	{"no path", "expansions", expanded(`^"Close"`, oneStep),
		inTarget + `must be "rules[NAME].PROPERTY", "teams[NAME].PROPERTY" or "algorithm.PROPERTY", not "Close"`},
	{"no name", "expansions", expanded(`^"rules.maxDistance"`, oneStep), inTarget + `must name what to expand: rules[NAME].maxDistance`},
	{"a name too many", "expansions", expanded(`^"algorithm[x].backfillPriority"`, oneStep), inTarget + `must be algorithm.backfillPriority, without a name`},
	{"another section", "expansions", expanded(`"^playerAttributes[skill].default"`, oneStep), inTarget + `"playerAttributes" can't be expanded; rules, teams and algorithm can`},
	{"no rule", "expansions", expanded(`"rules[^close].maxDistance"`, oneStep), inTarget + `there is no rule "close"; did you mean "Close"?`},
	{"no team", "expansions", expanded(`"teams[^red, grue].minPlayers"`, oneStep), inTarget + `there is no team "grue"`},
	{"one of a quantity", "expansions", expanded(`"teams[^pair_1].minPlayers"`, oneStep), inTarget + `there is no team "pair_1"; all of its quantity are "pair"`},
	{"of another type", "expansions", expanded(`"rules[Close].^maxLatency"`, oneStep),
		inTarget + `maxLatency of a batchDistance rule can't be expanded, only batchAttribute, maxDistance, partyAggregation can`},
	{"type", "expansions", expanded(`"rules[Close].^type"`, oneStep), inTarget + `type of a batchDistance rule can't be expanded, only batchAttribute, maxDistance, partyAggregation can`},
	{"nearly a property", "expansions", expanded(`"rules[Close].^maxdistance"`, oneStep),
		inTarget + `maxdistance of a batchDistance rule can't be expanded, only batchAttribute, maxDistance, partyAggregation can; did you mean "maxDistance"?`},
	{"quantity", "expansions", expanded(`"teams[red].^quantity"`, oneStep), inTarget + `a team's quantity can't be expanded, only minPlayers and maxPlayers can`},
	{"strategy", "expansions", expanded(`"algorithm.^strategy"`, oneStep),
		inTarget + `the algorithm's strategy can't be expanded, only batchingPreference, sortByAttributes, balancedAttribute, backfillPriority can`},
	{"a team twice", "expansions", expanded(`"teams[^red, red].minPlayers"`, oneStep), inTarget + `team "red" is named twice`},
	{"no teams", "expansions", expanded(`"teams[^].minPlayers"`, oneStep), inTarget + `there is no team ""`},
	{"no object", "expansions", `[^"rules[Close].maxDistance"]`, `expansions[0]: must be an object, not the string "rules[Close].maxDistance"`},
	{"no list", "expansions", `^{}`, `expansions: must be a list, not an object`},
	{"step of no object", "expansions", expanded(`"rules[Close].maxDistance"`, `[^5]`), `expansions[0].steps[0]: must be an object, not the number 5`},
	{"no steps", "expansions", expanded(`"rules[Close].maxDistance"`, `^[]`), `expansions[0].steps: must have at least one step`},
	{"steps of no list", "expansions", expanded(`"rules[Close].maxDistance"`, `^{}`), `expansions[0].steps: must be a list, not an object`},
	{"no wait", "expansions", expanded(`"rules[Close].maxDistance"`, `[^{"value": 9}]`), `expansions[0].steps[0]: waitTimeSeconds is missing`},
	{"no value", "expansions", expanded(`"rules[Close].maxDistance"`, `[^{"waitTimeSeconds": 5}]`), `expansions[0].steps[0]: value is missing`},
	{"half a second", "expansions", expanded(`"rules[Close].maxDistance"`, `[{"waitTimeSeconds": ^1.5, "value": 9}]`),
		`expansions[0].steps[0].waitTimeSeconds: must be a whole number, not 1.5`},
	{"too long a wait", "expansions", expanded(`"rules[Close].maxDistance"`, `[{"waitTimeSeconds": ^86401, "value": 9}]`),
		`expansions[0].steps[0].waitTimeSeconds: must be from 0 to 86400, not 86401`},
	{"waits that don't rise", "expansions", expanded(`"rules[Close].maxDistance"`, `[{"waitTimeSeconds": 5, "value": 9}, {"waitTimeSeconds": ^5, "value": 10}]`),
		`expansions[0].steps[1].waitTimeSeconds: waits have to rise from step to step: 5 s is not after 5 s`},
	{"unknown in a step", "expansions", expanded(`"rules[Close].maxDistance"`, `[{"waitTimeSeconds": 5, "value": 9, ^"values": 1}]`),
		`expansions[0].steps[0]: unknown property "values"; did you mean "value"?`},
	{"wrong value", "expansions", expanded(`"rules[Close].maxDistance"`, `[{"waitTimeSeconds": 5, "value": ^"far"}]`),
		`expansions[0].steps[0].value (rule "Close"): must be a number, not the string "far"`},
	{"wrong value later", "expansions", expanded(`"rules[Close].maxDistance"`, `[{"waitTimeSeconds": 5, "value": 7}, {"waitTimeSeconds": 6, "value": ^-1}]`),
		`expansions[0].steps[1].value (rule "Close"): must be at least 0, not -1`},
	{"too many", "expansions", expanded(`"teams[red].minPlayers"`, oneStep[:1]+`{"waitTimeSeconds": 5, "value": ^5}]`),
		`expansions[0].steps[0].value: minPlayers 5 is more than maxPlayers 4`},
	{"wrong expression", "expansions", expanded(`"rules[Mode].measurements"`, `[{"waitTimeSeconds": 5, "value": "teams[^grey].players.attributes[mode]"}]`),
		`expansions[0].steps[0].value (rule "Mode"): there is no team "grey"`},
	{"twice", "expansions", `[{"target": "teams[red].minPlayers", "steps": [{"waitTimeSeconds": 5, "value": 1}]},
    {"target": ^"teams[blue, red].minPlayers", "steps": [{"waitTimeSeconds": 6, "value": 1}]}]`,
		`expansions[1].target: teams[0].minPlayers is expanded twice; put all steps in one expansion`},
}

var largeMistakes = []mistake{
	{"strategy left out", "large", `algorithm=^{}`, `algorithm: a match of 60 players, more than 40, needs the algorithm's strategy "balanced"`},
	{"another strategy", "large", `algorithm={"strategy": ^"exhaustiveSearch"}`,
		`algorithm.strategy: a match of 60 players, more than 40, needs the algorithm's strategy "balanced"`},
	{"another type", "large", `rules=[{"name": "A", "type": ^"distance", "measurements": ["avg(teams[red].players.attributes[skill])"], "referenceValue": 1, "maxDistance": 1}]`,
		`rules[0].type (rule "A"): a match of more than 40 players can't have a distance rule`},
	{"compound", "large", `rules=[{"name": "A", "type": "latency", "maxLatency": 9}, {"name": "C", "type": ^"compound", "statement": "not(A)"}]`,
		`rules[1].type (rule "C"): a match of more than 40 players can't have a compound rule`},
	{"latency by distance", "large", `rules=[{"name": "A", "type": "latency", "maxDistance": ^9, "distanceReference": "avg"}]`,
		`rules[0].maxDistance (rule "A"): a match of more than 40 players can't have maxDistance in a latency rule, only maxLatency`},
}

// TestMistakesAcross has mistakes between sections.
func TestMistakesAcross(t *testing.T) {
	compound := `[{"name": "A", "type": "latency", "maxLatency": 1}, {"name": "C", "type": "compound", "statement": "not(A)"}]`
	for name, row := range map[string]struct {
		others map[string]string
		want   string
	}{
		"expanded compound": {map[string]string{"rules": compound, "expansions": expanded(`"rules[^C].statement"`, oneStep)},
			`expansions[0].target: a compound rule can't be expanded; expand the rules that it names`},
		"expanded rule of no type": {map[string]string{"rules": `[{"name": "A", "type": ^"latenzy", "maxLatency": 1}]`,
			"expansions": expanded(`"rules[A].maxLatency"`, oneStep)},
			`rules[0].type (rule "A"): must be ` + oneOfKinds() + `, not "latenzy"; did you mean "latency"?`},
		"no algorithm": {map[string]string{"algorithm": `^[]`, "expansions": expanded(`^"algorithm.backfillPriority"`, oneStep)},
			"algorithm: must be an object, not a list\nexpansions[0].target: there is no algorithm to expand"},
		"attribute of no type": {map[string]string{"playerAttributes": `[{"name": "skill", "type": ^"real"}, {"name": "mode", "type": "string"}, ^1, {"name": ^"a\u0007", "type": "string"}]`,
			"rules": `[{"name": "A", "type": "batchDistance", "batchAttribute": "skill", "maxDistance": 5},
    {"name": "B", "type": "comparison", "measurements": ["avg(teams[*].players.attributes[skill])"], "operation": "=", "referenceValue": "x"},
    {"name": "C", "type": "comparison", "measurements": [^5], "operation": "=", "referenceValue": [^null]}]`},
			"playerAttributes[0].type: must be \"string\", \"number\", \"string_list\" or \"string_number_map\", not \"real\"\n" +
				"playerAttributes[2]: must be an object, not the number 1\n" +
				"playerAttributes[3].name: must not have control characters\n" +
				"rules[2].measurements[0] (rule \"C\"): must be a string, not the number 5\n" +
				"rules[2].referenceValue[0] (rule \"C\"): must be a string, not null"},
		"open attribute":      {map[string]string{"rules": measured("teams[red].players.attributes[skill^")}, inMeasurement + `']' is missing`},
		"no attribute's name": {map[string]string{"rules": measured("teams[red].players.attributes^(skill)")}, inMeasurement + `'[' is missing`},
		"no list of roles": {map[string]string{"rules": `[{"name": "A", "type": "roleQuota", "attribute": "roles", "roles": [^"tank"], "teams": ^[]}]`},
			"rules[0].roles[0] (rule \"A\"): must be an object, not the string \"tank\"\n" +
				"rules[0].teams (rule \"A\"): must have at least one team; leave it out for all"},
		"string in a collection": {map[string]string{"rules": `[{"name": "A", "type": "comparison", "measurements": ["count(teams[*].players.attributes[roles])"], "operation": "=", "referenceValue": ^"` +
			strings.Repeat("é", 130) + `"}]`},
			`rules[0].referenceValue (rule "A"): must be a number, not the string "` + strings.Repeat("é", 120) + `…"`},
	} {
		t.Run(name, func(t *testing.T) { wantMistakes(t, write(row.others), row.want) })
	}
}

// TestMistakesByStages tells from when on what stands at its place is wrong.
func TestMistakesByStages(t *testing.T) {
	wantMistakes(t, write(map[string]string{"expansions": `[
    {"target": "teams[red].maxPlayers", "steps": [{"waitTimeSeconds": 5, "value": 3}, {"waitTimeSeconds": 8, "value": 1}, {"waitTimeSeconds": 9, "value": 1}]}]`,
		"teams": `[{"name": "red", "minPlayers": ^2, "maxPlayers": 4}]`, "rules": "[]"}),
		`teams[0].minPlayers: minPlayers 2 is more than maxPlayers 1 (from a wait of 8 s on)`)
	wantMistakes(t, write(map[string]string{"expansions": expanded(`"teams[red].maxPlayers"`, `[{"waitTimeSeconds": 30, "value": 60}]`),
		"algorithm": `{"strategy": ^"exhaustiveSearch"}`, "rules": "[]"}),
		`algorithm.strategy: a match of 66 players, more than 40, needs the algorithm's strategy "balanced" (from a wait of 30 s on)`)
}

// TestManyMistakes wants all at once, in the order of the text.
func TestManyMistakes(t *testing.T) {
	wantMistakes(t, write(map[string]string{
		"version":          `^2`,
		"playerAttributes": `[{"name": "skill", "type": ^"int"}, {"name": "mode", "type": "string"}]`,
		"teams":            `[{"name": "red", "minPlayers": ^-1, "maxPlayers": 4}]`,
		"rules": `[
    {"name": "Close", "type": "batchDistance", "batchAttribute": ^"skil", "maxDistance": 5},
    {"name": "Mode", "type": "comparison", "measurements": ["teams[*].players.attributes[mode]"], "operation": ^"~"}
  ]`,
		"expansions": expanded(`"rules[Close].^maxDistence"`, oneStep),
		"more":       `, ^"rule": []`,
	}), `ruleLanguageVersion: must be a string, not the number 2
playerAttributes[0].type: must be "string", "number", "string_list" or "string_number_map", not "int"
teams[0].minPlayers: must be from 0 to 200, not -1
rules[0].batchAttribute (rule "Close"): attribute "skil" is not declared in playerAttributes; did you mean "skill"?
rules[1].operation (rule "Mode"): must be "=", "!=", "<", "<=", ">" or ">=", not "~"
expansions[0].target: maxDistence of a batchDistance rule can't be expanded, only batchAttribute, maxDistance, partyAggregation can; did you mean "maxDistance"?
unknown property "rule"; did you mean "rules"?`)
}

func TestNoJSON(t *testing.T) {
	for name, row := range map[string]struct{ text, want string }{
		"nothing":      {"", "line 1, column 1: is no JSON: parsing value: unexpected EOF"},
		"half":         {"{\"name\": \"x\",\n ", "line 2, column 2: is no JSON: parsing value: unexpected EOF"},
		"no comma":     {"{\n  \"名\": \"x\" \"y\": 1}", "line 2, column 12: is no JSON: invalid character '\"' after object value (expecting ',' or '}')"},
		"no value":     {"{\"a\": nil}", "line 1, column 7: is no JSON: invalid literal: nil"},
		"more":         {"{} {}", "line 1, column 4: is no JSON: invalid character '{' after top-level value"},
		"open comment": {"/* ", "line 1, column 1: is no JSON: parsing comment: unexpected EOF"},
		"last comment": {"{\n // 語", "line 2, column 6: is no JSON: parsing value: unexpected EOF"},
		"last slash":   {"{} /", "line 1, column 4: is no JSON: invalid character '/' after top-level value"},
		"line break":   {"{\"a\": \"b\nc\"}", "line 1, column 7: is no JSON: invalid literal: \"b c\""},
		"no algorithm": {`{"ruleLanguageVersion": "1.0", "teams": [{"name": "a", "minPlayers": 1, "maxPlayers": 41}]}`,
			`line 1, column 41: teams: a match of 41 players, more than 40, needs the algorithm's strategy "balanced"`},
		"bytes":         {"{\n\"a\": \"é\xff\"}", "line 2, column 8: is no UTF-8 text"},
		"not an object": {" []", "line 1, column 2: must be an object, not a list"},
		"empty":         {"{}", "line 1, column 1: ruleLanguageVersion is missing\nline 1, column 1: teams is missing"},
		"too deep":      {strings.Repeat("[", 40) + strings.Repeat("]", 40), "line 1, column 34: is nested deeper than 32 levels"},
		"too long":      {strings.Repeat("語", ruleset.MaxCharacters+1), "line 1, column 1: has 65536 characters, may have at most 65535"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ruleset.Parse([]byte(row.text))
			var all ruleset.Errors
			if !errors.As(err, &all) || err.Error() != row.want {
				t.Errorf("got  %v\nwant %s", err, row.want)
			}
		})
	}
}

// TestLength lets a text of just the allowed length pass.
func TestLength(t *testing.T) {
	text := write(nil)
	text += strings.Repeat(" ", ruleset.MaxCharacters-len(text))
	if _, err := ruleset.Parse([]byte(text)); err != nil {
		t.Error(err)
	}
}

func TestTooManyStages(t *testing.T) {
	var steps []string
	for i := range ruleset.MaxStages {
		steps = append(steps, `{"waitTimeSeconds": `+string(rune('1'+i/10))+string(rune('0'+i%10))+`, "value": 9}`)
	}
	text := write(map[string]string{"expansions": expanded(`"rules[Close].maxDistance"`, "["+strings.Join(steps[1:], ", ")+"]")})
	rs, err := ruleset.Parse([]byte(text))
	if err != nil || len(rs.Stages) != ruleset.MaxStages {
		t.Errorf("as many stages as allowed: %v", err)
	}
	text = write(map[string]string{"expansions": expanded(`"rules[Close].maxDistance"`, "["+strings.Join(steps, ", ")+"]")})
	_, err = ruleset.Parse([]byte(text))
	if want := "line 1, column 1: changes at 65 different waits, more than 64"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
