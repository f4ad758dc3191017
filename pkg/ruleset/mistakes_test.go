package ruleset_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"torikumi/pkg/ruleset"
)

// The sections of a good rule set, each of which a test can replace.
var good = map[string]string{
	"version": `"1.0"`,
	"playerAttributes": `[
    {"name": "skill", "type": "number", "default": "10"},
    {"name": "mode", "type": "string"},
    {"name": "roles", "type": "string_list", "default": []},
    {"name": "maps", "type": "string_number_map", "default": {"meadow": 1}}
  ]`,
	"teams": `[
    {"name": "red", "minPlayers": 2, "maxPlayers": 4},
    {"name": "blue", "minPlayers": "2", "maxPlayers": "4"},
    {"name": "pair", "minPlayers": 1, "maxPlayers": 1, "quantity": 2}
  ]`,
	"algorithm": `{"strategy": "exhaustiveSearch"}`,
	"rules": `[
    {"name": "Close", "type": "batchDistance", "batchAttribute": "skill", "maxDistance": 5},
    {"name": "Mode", "type": "comparison", "measurements": ["teams[*].players.attributes[mode]"], "operation": "="}
  ]`,
	"expansions": `[]`,
}

// write makes a rule set of the good sections and others in their place.
func write(others map[string]string) string {
	part := func(section string) string {
		if s, ok := others[section]; ok {
			return s
		}
		return good[section]
	}
	var b strings.Builder
	fmt.Fprintf(&b, "{\n  \"ruleLanguageVersion\": %s", part("version"))
	for _, section := range []string{"playerAttributes", "teams", "algorithm", "rules", "expansions"} {
		fmt.Fprintf(&b, ",\n  %q: %s", section, part(section))
	}
	return b.String() + others["more"] + "\n}\n"
}

// mistake is a section with a ^ before each place where something is wrong.
type mistake struct {
	name    string
	section string
	text    string
	// want has a line for each ^: path, rule and message.
	want string
}

// large makes the teams of a match of more than 40 players.
const large = `[{"name": "red", "minPlayers": 2, "maxPlayers": 30}, {"name": "blue", "minPlayers": 2, "maxPlayers": 30}]`

var headerMistakes = []mistake{
	{"version as a number", "version", `^1.0`, `ruleLanguageVersion: must be a string, not the number 1.0`},
	{"another version", "version", `^"1.1"`, `ruleLanguageVersion: must be "1.0", not "1.1"`},
	{"attributes as an object", "playerAttributes", `^{}`, `playerAttributes: must be a list, not an object`},
	{"unknown type of attribute", "playerAttributes", `[{"name": "skill", "type": "number"}, {"name": "mode", "type": ^"text"}]`,
		`playerAttributes[1].type: must be "string", "number", "string_list" or "string_number_map", not "text"`},
	{"nearly a type", "playerAttributes", `[{"name": "skill", "type": ^"Number"}, {"name": "mode", "type": "string"}]`,
		`playerAttributes[0].type: must be "string", "number", "string_list" or "string_number_map", not "Number"; did you mean "number"?`},
	{"attribute without name", "playerAttributes", `[{"name": "skill", "type": "number"}, {"name": "mode", "type": "string"}, ^{"type": "string"}]`,
		`playerAttributes[2]: name is missing`},
	{"attribute twice", "playerAttributes", `[{"name": "skill", "type": "number"}, {"name": "mode", "type": "string"}, {"name": ^"mode", "type": "number"}]`,
		`playerAttributes[2].name: attribute "mode" is there twice`},
	{"default of a number", "playerAttributes", `[{"name": "skill", "type": "number", "default": ^"many"}, {"name": "mode", "type": "string"}]`,
		`playerAttributes[0].default: must be a number, not the string "many"`},
	{"default too large", "playerAttributes", `[{"name": "skill", "type": "number", "default": ^1e999}, {"name": "mode", "type": "string"}]`,
		`playerAttributes[0].default: must be a finite number, 1e999 is too large`},
	{"default of a string", "playerAttributes", `[{"name": "skill", "type": "number"}, {"name": "mode", "type": "string", "default": ^null}]`,
		`playerAttributes[1].default: must be a string, not null`},
	{"default of a list", "playerAttributes", `[{"name": "skill", "type": "number"}, {"name": "mode", "type": "string"}, {"name": "x", "type": "string_list", "default": ["a", ^1]}]`,
		`playerAttributes[2].default[1]: must be a string, not the number 1`},
	{"default of a map", "playerAttributes", `[{"name": "skill", "type": "number"}, {"name": "mode", "type": "string"}, {"name": "x", "type": "string_number_map", "default": ^[]}]`,
		`playerAttributes[2].default: must be an object of numbers, not a list`},
	{"value of a map", "playerAttributes", `[{"name": "skill", "type": "number"}, {"name": "mode", "type": "string"}, {"name": "x", "type": "string_number_map", "default": {"a": ^true}}]`,
		`playerAttributes[2].default.a: must be a number, not true`},

	{"name that is not plain", "playerAttributes", `[{"name": "skill", "type": "number"}, {"name": "x", "type": "string_number_map", "default": {"a b\n": ^true}}]`,
		`playerAttributes[1].default["a b\n"]: must be a number, not true`},

	{"no teams", "teams", `^[]`, `teams: must have at least one team`},
	{"team without sizes", "teams", `[^^{"name": "red"}]`, "teams[0]: maxPlayers is missing\nteams[0]: minPlayers is missing"},
	{"team with a comma", "teams", `[{"name": ^"red,blue", "minPlayers": 1, "maxPlayers": 1}]`,
		`teams[0].name: must not have any of the characters [ ] , *`},
	{"team without a name", "teams", `[{"name": ^"", "minPlayers": 1, "maxPlayers": 1}]`, `teams[0].name: must not be empty`},
	{"team with spaces", "teams", `[{"name": ^" red", "minPlayers": 1, "maxPlayers": 1}]`, `teams[0].name: must not start or end with a space`},
	{"team twice", "teams", `[{"name": "red", "minPlayers": 1, "maxPlayers": 1}, {"name": ^"red", "minPlayers": 1, "maxPlayers": 1}]`,
		`teams[1].name: team "red" is there twice`},
	{"team twice by quantity", "teams", `[{"name": "red", "minPlayers": 1, "maxPlayers": 1, "quantity": 2}, {"name": ^"red_2", "minPlayers": 1, "maxPlayers": 1}]`,
		`teams[1].name: team "red_2" is there twice`},
	{"more than the maximum", "teams", `[{"name": "red", "minPlayers": ^5, "maxPlayers": 4}]`, `teams[0].minPlayers: minPlayers 5 is more than maxPlayers 4`},
	{"half a player", "teams", `[{"name": "red", "minPlayers": 1, "maxPlayers": ^1.5}]`, `teams[0].maxPlayers: must be a whole number, not 1.5`},
	{"nobody", "teams", `[{"name": "red", "minPlayers": 0, "maxPlayers": ^0}]`, `teams[0].maxPlayers: must be from 1 to 200, not 0`},
	{"no team of them", "teams", `[{"name": "red", "minPlayers": 1, "maxPlayers": 1, "quantity": ^0}]`, `teams[0].quantity: must be from 1 to 200, not 0`},
	{"bots before the start", "teams", `[{"name": "red", "minPlayers": 1, "maxPlayers": 1, "botsAfterSeconds": ^-1}]`,
		`teams[0].botsAfterSeconds: must be from 0 to 86400, not -1`},
	{"nearly a property", "teams", `[{"name": "red", "minPlayers": 1, "maxPlayers": 1, ^"minplayers": 1}]`,
		`teams[0]: unknown property "minplayers"; did you mean "minPlayers"?`},
	{"a property twice", "teams", `[{"name": "red", "minPlayers": 1, "maxPlayers": 1, ^"name": "blue"}]`, `teams[0]: has the property "name" twice`},
	{"too many players", "teams", `^[{"name": "red", "minPlayers": 1, "maxPlayers": 51, "quantity": 4}]`,
		`teams: have 204 players in all, a match may have at most 200`},

	{"unknown strategy", "algorithm", `{"strategy": ^"exhaustive"}`, `algorithm.strategy: must be "exhaustiveSearch" or "balanced", not "exhaustive"`},
	{"sorted by nothing", "algorithm", `^{"batchingPreference": "sorted"}`,
		`algorithm: sortByAttributes is missing, batchingPreference "sorted" needs it`},
	{"sorted by an empty list", "algorithm", `{"batchingPreference": "sorted", "sortByAttributes": ^[]}`,
		`algorithm.sortByAttributes: must have at least one attribute`},
	{"sorted by a list", "algorithm", `{"batchingPreference": "sorted", "sortByAttributes": ["skill", ^"roles", ^"rank", ^"skill"]}`,
		"algorithm.sortByAttributes[1]: attribute \"roles\" is a string_list, must be a number or a string\n" +
			"algorithm.sortByAttributes[2]: attribute \"rank\" is not declared in playerAttributes\n" +
			"algorithm.sortByAttributes[3]: attribute \"skill\" is there twice"},
	{"not sorted", "algorithm", `{"sortByAttributes": ^["skill"]}`,
		`algorithm.sortByAttributes: sortByAttributes is for the batchingPreference "sorted" alone`},
	{"balanced by nothing", "algorithm", `^{"strategy": "balanced"}`, `algorithm: balancedAttribute is missing, strategy "balanced" needs it`},
	{"balanced by a string", "algorithm", `{"strategy": "balanced", "balancedAttribute": ^"mode"}`,
		`algorithm.balancedAttribute: attribute "mode" is a string, must be a number`},
	{"balanced at random", "algorithm", `{"strategy": "balanced", "balancedAttribute": "skill", "batchingPreference": ^"random"}`,
		`algorithm.batchingPreference: must be "largestPopulation" or "fastestRegion", not "random"`},
	{"balanced and sorted", "algorithm", `{"strategy": "balanced", "balancedAttribute": "skill", "sortByAttributes": ^["skill"]}`,
		`algorithm.sortByAttributes: sortByAttributes is for the strategy "exhaustiveSearch" alone`},
	{"not balanced", "algorithm", `{"balancedAttribute": ^"skill"}`, `algorithm.balancedAttribute: balancedAttribute is for the strategy "balanced" alone`},
	{"age of nobody", "algorithm", `{"expansionAgeSelection": ^"youngest"}`, `algorithm.expansionAgeSelection: must be "newest" or "oldest", not "youngest"`},
	{"no such priority", "algorithm", `{"backfillPriority": ^1}`, `algorithm.backfillPriority: must be a string, not the number 1`},
}

// oneOfKinds are all types of rules, as a message lists them.
func oneOfKinds() string {
	kinds := ruleset.Kinds()
	last := len(kinds) - 1
	var b strings.Builder
	for _, k := range kinds[:last-1] {
		fmt.Fprintf(&b, "%q, ", k)
	}
	fmt.Fprintf(&b, "%q or %q", kinds[last-1], kinds[last])
	return b.String()
}

var ruleMistakes = []mistake{
	{"not a rule", "rules", `[^"Close"]`, `rules[0]: must be an object, not the string "Close"`},
	{"no type", "rules", `[^{"name": "A"}]`, `rules[0] (rule "A"): type is missing`},
	{"unknown type", "rules", `[{"name": "A", "type": ^"batchdistance"}]`, `rules[0].type (rule "A"): must be ` + oneOfKinds() + `, not "batchdistance"; did you mean "batchDistance"?`},
	{"no name", "rules", `[^{"type": "latency", "maxLatency": 1}]`, `rules[0]: name is missing`},
	{"twice", "rules", `[{"name": "A", "type": "latency", "maxLatency": 1}, {"name": ^"A", "type": "latency", "maxLatency": 1}]`,
		`rules[1].name (rule "A"): rule "A" is there twice`},
	{"description of another type", "rules", `[{"name": "A", "description": ^["x"], "type": "latency", "maxLatency": 1}]`,
		`rules[0].description (rule "A"): must be a string, not a list`},
	{"optional at once", "rules", `[{"name": "A", "type": "latency", "maxLatency": 1, "secondsUntilOptional": ^0}]`,
		`rules[0].secondsUntilOptional (rule "A"): must be from 1 to 86400, not 0`},
	{"of another type", "rules", `[{"name": "A", "type": "latency", "maxLatency": 1, ^"maxCount": 1}]`,
		`rules[0] (rule "A"): maxCount is no property of a latency rule, which has maxLatency, maxDistance, distanceReference, partyAggregation`},
	{"nearly a property", "rules", `[^{"name": "A", "type": "latency", ^"maxlatency": 1}]`,
		"rules[0] (rule \"A\"): maxLatency is missing, or maxDistance with distanceReference\n" +
			"rules[0] (rule \"A\"): unknown property \"maxlatency\"; did you mean \"maxLatency\"?"},

	{"nothing measured", "rules", `[{"name": "A", "type": "distance", "measurements": ^[], "referenceValue": 1, "maxDistance": 1}]`,
		`rules[0].measurements (rule "A"): must have at least one expression`},
	{"strings at a distance", "rules", `[{"name": "A", "type": "distance", "measurements": [^"teams[*].players.attributes[mode]"], "referenceValue": 1, "maxDistance": 1}]`,
		`rules[0].measurements[0] (rule "A"): is a list of lists of strings, must be made of numbers`},
	{"distance from a word", "rules", `[{"name": "A", "type": "distance", "measurements": ["avg(teams[red].players.attributes[skill])"], "referenceValue": ^"low", "maxDistance": 1}]`,
		`rules[0].referenceValue (rule "A"): must be a number, not the string "low"`},
	{"distance from strings", "rules", `[{"name": "A", "type": "distance", "measurements": ["avg(teams[red].players.attributes[skill])"], "referenceValue": ^"teams[red].players[playerId]", "maxDistance": 1}]`,
		`rules[0].referenceValue (rule "A"): is a list of strings, must be made of numbers like what is measured`},
	{"no distance", "rules", `[^{"name": "A", "type": "distance", "measurements": ["avg(teams[red].players.attributes[skill])"], "referenceValue": 1}]`,
		`rules[0] (rule "A"): maxDistance or minDistance is missing`},
	{"negative distance", "rules", `[{"name": "A", "type": "distance", "measurements": ["avg(teams[red].players.attributes[skill])"], "referenceValue": 1, "maxDistance": ^-1}]`,
		`rules[0].maxDistance (rule "A"): must be at least 0, not -1`},
	{"impossible distance", "rules", `[{"name": "A", "type": "distance", "measurements": ["avg(teams[red].players.attributes[skill])"], "referenceValue": 1, "minDistance": ^2.5, "maxDistance": 1}]`,
		`rules[0].minDistance (rule "A"): minDistance 2.5 is more than maxDistance 1`},
	{"no aggregation of numbers", "rules", `[{"name": "A", "type": "distance", "measurements": ["avg(teams[red].players.attributes[skill])"], "referenceValue": 1, "maxDistance": 1, "partyAggregation": ^"union"}]`,
		`rules[0].partyAggregation (rule "A"): must be "avg", "min" or "max", not "union"`},

	{"no operation", "rules", `[^{"name": "A", "type": "comparison", "measurements": ["teams[*].players.attributes[mode]"]}]`,
		`rules[0] (rule "A"): operation is missing`},
	{"another operation", "rules", `[{"name": "A", "type": "comparison", "measurements": ["teams[*].players.attributes[mode]"], "operation": ^"=="}]`,
		`rules[0].operation (rule "A"): must be "=", "!=", "<", "<=", ">" or ">=", not "=="`},
	{"order among players", "rules", `[{"name": "A", "type": "comparison", "measurements": ["teams[*].players.attributes[skill]"], "operation": ^"<"}]`,
		`rules[0].operation (rule "A"): < needs a referenceValue; without one, values are compared with each other by = or !=`},
	{"order of strings", "rules", `[{"name": "A", "type": "comparison", "measurements": ["teams[*].players.attributes[mode]"], "referenceValue": "x", "operation": ^">="}]`,
		`rules[0].operation (rule "A"): >= compares numbers, not strings`},
	{"one value among itself", "rules", `[{"name": "A", "type": "comparison", "measurements": [^"count(teams[red].players)"], "operation": "="}]`,
		`rules[0].measurements[0] (rule "A"): is a number: without a referenceValue a list is needed, whose values are compared with each other`},
	{"comparison of collections", "rules", `[{"name": "A", "type": "comparison", "measurements": [^"flatten(teams[*].players.attributes[roles])"], "operation": "="}]`,
		`rules[0].measurements[0] (rule "A"): is a list of lists of strings out of a string_list attribute; use a collection rule`},
	{"two kinds of measurements", "rules", `[{"name": "A", "type": "comparison", "measurements": ["teams[*].players.attributes[skill]", ^"teams[*].players.attributes[mode]"], "operation": "="}]`,
		`rules[0].measurements[1] (rule "A"): is a list of lists of strings, must be made of numbers`},
	{"number for a string", "rules", `[{"name": "A", "type": "comparison", "measurements": ["teams[*].players.attributes[mode]"], "operation": "=", "referenceValue": ^3}]`,
		`rules[0].referenceValue (rule "A"): must be a string, not the number 3`},
	{"mixed list", "rules", `[{"name": "A", "type": "comparison", "measurements": ["teams[*].players.attributes[skill]"], "operation": "=", "referenceValue": [3, ^"x"]}]`,
		`rules[0].referenceValue[1] (rule "A"): must be a number, not the string "x"`},

	{"batch of nothing", "rules", `[^{"name": "A", "type": "batchDistance", "maxDistance": 1}]`, `rules[0] (rule "A"): batchAttribute is missing`},
	{"batch of numbers", "rules", `[^{"name": "A", "type": "batchDistance", "batchAttribute": "skill"}]`,
		`rules[0] (rule "A"): maxDistance is missing: attribute "skill" is a number`},
	{"batch of strings", "rules", `[{"name": "A", "type": "batchDistance", "batchAttribute": "mode", "maxDistance": ^1}]`,
		`rules[0].maxDistance (rule "A"): maxDistance is for numbers; attribute "mode" is a string, which all players have to share`},
	{"batch of lists", "rules", `[{"name": "A", "type": "batchDistance", "batchAttribute": ^"roles"}]`,
		`rules[0].batchAttribute (rule "A"): attribute "roles" is a string_list, must be a number or a string`},

	{"collection of numbers", "rules", `[{"name": "A", "type": "collection", "operation": "intersection", "measurements": [^"teams[*].players.attributes[skill]"], "minCount": 1}]`,
		`rules[0].measurements[0] (rule "A"): is a list of lists of numbers, must be made of strings`},
	{"contains nothing", "rules", `[^{"name": "A", "type": "collection", "operation": "contains", "measurements": ["teams[*].players.attributes[roles]"], "minCount": 1}]`,
		`rules[0] (rule "A"): referenceValue is missing, operation "contains" needs it`},
	{"intersection with something", "rules", `[{"name": "A", "type": "collection", "operation": "intersection", "measurements": ["teams[*].players.attributes[roles]"], "minCount": 1, "referenceValue": ^"x"}]`,
		`rules[0].referenceValue (rule "A"): operation "intersection" has no referenceValue`},
	{"no count", "rules", `[^{"name": "A", "type": "collection", "operation": "intersection", "measurements": ["teams[*].players.attributes[roles]"]}]`,
		`rules[0] (rule "A"): minCount or maxCount is missing`},
	{"counts the wrong way", "rules", `[{"name": "A", "type": "collection", "operation": "intersection", "measurements": "teams[*].players.attributes[roles]", "minCount": ^2, "maxCount": 1}]`,
		`rules[0].minCount (rule "A"): minCount 2 is more than maxCount 1`},
	{"half a count", "rules", `[{"name": "A", "type": "collection", "operation": "intersection", "measurements": ["teams[*].players.attributes[roles]"], "maxCount": ^"0.5"}]`,
		`rules[0].maxCount (rule "A"): must be a whole number, not 0.5`},
	{"empty reference", "rules", `[{"name": "A", "type": "collection", "operation": "contains", "measurements": ["teams[*].players.attributes[roles]"], "referenceValue": ^[], "maxCount": 1}]`,
		`rules[0].referenceValue (rule "A"): must have at least one value`},
	{"no aggregation of collections", "rules", `[{"name": "A", "type": "collection", "operation": "intersection", "measurements": ["teams[*].players.attributes[roles]"], "minCount": 1, "partyAggregation": ^"avg"}]`,
		`rules[0].partyAggregation (rule "A"): must be "union" or "intersection", not "avg"`},

	{"distance without reference", "rules", `[^{"name": "A", "type": "latency", "maxDistance": 5}]`, `rules[0] (rule "A"): distanceReference is missing, maxDistance needs it`},
	{"reference without distance", "rules", `[^{"name": "A", "type": "latency", "maxLatency": 5, "distanceReference": "min"}]`,
		`rules[0] (rule "A"): maxDistance is missing, distanceReference needs it`},
	{"reference of another kind", "rules", `[{"name": "A", "type": "latency", "maxDistance": 5, "distanceReference": ^"max"}]`,
		`rules[0].distanceReference (rule "A"): must be "min" or "avg", not "max"`},

	{"sort without direction", "rules", `[^{"name": "A", "type": "absoluteSort", "sortAttribute": "skill"}]`, `rules[0] (rule "A"): sortDirection is missing`},
	{"sort up", "rules", `[{"name": "A", "type": "absoluteSort", "sortAttribute": "skill", "sortDirection": ^"up"}]`,
		`rules[0].sortDirection (rule "A"): must be "ascending" or "descending", not "up"`},
	{"sort by strings", "rules", `[{"name": "A", "type": "distanceSort", "sortAttribute": ^"mode", "sortDirection": "ascending"}]`,
		`rules[0].sortAttribute (rule "A"): attribute "mode" is a string, must be a number or a string_number_map`},
	{"sort by a map", "rules", `[^{"name": "A", "type": "distanceSort", "sortAttribute": "maps", "sortDirection": "ascending"}]`,
		`rules[0] (rule "A"): mapKey is missing: attribute "maps" is a string_number_map`},
	{"map of a number", "rules", `[{"name": "A", "type": "distanceSort", "sortAttribute": "skill", "sortDirection": "ascending", "mapKey": ^"minValue"}]`,
		`rules[0].mapKey (rule "A"): mapKey is for a string_number_map; attribute "skill" is a number`},
}

var addedMistakes = []mistake{
	{"no expression", "rules", `[{"name": "A", "type": "expression", "expression": ^" "}]`, `rules[0].expression (rule "A"): must not be empty`},
	{"long expression", "rules", `[{"name": "A", "type": "expression", "expression": ^"` + strings.Repeat("a", 4097) + `"}]`,
		`rules[0].expression (rule "A"): has 4097 characters, may have at most 4096`},
	{"no custom rule", "rules", `[^{"name": "A", "type": "custom", "parameters": 1}]`, `rules[0] (rule "A"): rule is missing`},
	{"difference of strings", "rules", `[{"name": "A", "type": "teamDifference", "attribute": ^"mode", "maxDifference": 1}]`,
		`rules[0].attribute (rule "A"): attribute "mode" is a string, must be a number`},
	{"no such aggregate", "rules", `[{"name": "A", "type": "teamDifference", "attribute": "skill", "aggregate": ^"mean", "maxDifference": 1}]`,
		`rules[0].aggregate (rule "A"): must be "avg", "sum", "min", "max" or "median", not "mean"`},
	{"no difference", "rules", `[^{"name": "A", "type": "teamSizeBalance"}]`, `rules[0] (rule "A"): maxDifference is missing`},
	{"half a difference", "rules", `[{"name": "A", "type": "similarPartySizes", "maxDifference": ^0.5}]`, `rules[0].maxDifference (rule "A"): must be a whole number, not 0.5`},
	{"no roles", "rules", `[{"name": "A", "type": "roleQuota", "attribute": "roles", "roles": ^[]}]`, `rules[0].roles (rule "A"): must have at least one role`},
	{"roles in numbers", "rules", `[{"name": "A", "type": "roleQuota", "attribute": ^"skill", "roles": [{"role": "tank", "min": 1}]}]`,
		`rules[0].attribute (rule "A"): attribute "skill" is a number, must be a string or a string_list`},
	{"role twice", "rules", `[{"name": "A", "type": "roleQuota", "attribute": "roles", "roles": [{"role": "tank", "min": 1}, {"role": ^"tank", "max": 1}]}]`,
		`rules[0].roles[1].role (rule "A"): role "tank" is there twice`},
	{"role without limits", "rules", `[{"name": "A", "type": "roleQuota", "attribute": "roles", "roles": [^{"role": "tank"}]}]`, `rules[0].roles[0] (rule "A"): min or max is missing`},
	{"role the wrong way", "rules", `[{"name": "A", "type": "roleQuota", "attribute": "roles", "roles": [{"role": "tank", "min": ^2, "max": 1}]}]`,
		`rules[0].roles[0].min (rule "A"): min 2 is more than max 1`},
	{"roles of no team", "rules", `[{"name": "A", "type": "roleQuota", "attribute": "roles", "teams": [^"pair_1"], "roles": [{"role": "tank", "min": 1}]}]`,
		`rules[0].teams[0] (rule "A"): there is no team "pair_1"; all of its quantity are "pair"`},
}

func TestMistakes(t *testing.T) {
	for group, rows := range map[string][]mistake{
		"header": headerMistakes, "rule": ruleMistakes, "added": addedMistakes, "expression": expressionMistakes,
		"statement": statementMistakes, "expansion": expansionMistakes, "large": largeMistakes,
	} {
		for _, m := range rows {
			t.Run(group+"/"+m.name, func(t *testing.T) { checkMistake(t, m) })
		}
	}
}

func checkMistake(t *testing.T, m mistake) {
	t.Helper()
	others := map[string]string{m.section: m.text}
	if m.section == "playerAttributes" || m.section == "teams" {
		others["rules"] = "[]"
	}
	if m.section == "large" {
		others = map[string]string{"teams": large, "rules": "[]", "algorithm": `{"strategy": "balanced", "balancedAttribute": "skill"}`}
		section, text, _ := strings.Cut(m.text, "=")
		others[section] = text
	}
	wantMistakes(t, write(others), m.want)
}

// wantMistakes parses a text with a ^ before each mistake.
func wantMistakes(t *testing.T, marked, want string) {
	t.Helper()
	text := strings.ReplaceAll(marked, "^", "")
	var places []string
	for i, at := range marked {
		if at == '^' {
			before := strings.ReplaceAll(marked[:i], "^", "")
			line := 1 + strings.Count(before, "\n")
			column := len([]rune(before[strings.LastIndexByte(before, '\n')+1:])) + 1
			places = append(places, fmt.Sprintf("line %d, column %d: ", line, column))
		}
	}
	messages := strings.Split(want, "\n")
	if len(places) != len(messages) {
		t.Fatalf("%d places for %d messages", len(places), len(messages))
	}
	for i := range messages {
		messages[i] = places[i] + messages[i]
	}
	rs, err := ruleset.Parse([]byte(text))
	if err == nil {
		t.Fatal("no error")
	}
	if rs != nil {
		t.Error("a rule set comes with an error")
	}
	if diff := cmp.Diff(strings.Join(messages, "\n"), err.Error()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	var all ruleset.Errors
	var one ruleset.Error
	if !errors.As(err, &all) || len(all) != len(messages) || !errors.As(err, &one) || one != all[0] {
		t.Errorf("not an Errors of %d: %#v", len(messages), err)
	}
}
