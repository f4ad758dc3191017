// Package expression compiles rules of type "expression": CEL expressions
// (https://cel.dev) that say whether a complete match may stand. On the
// player's path the match function evaluates them; here is what they may say,
// so that the director refuses at its start what the match function would.
//
// What an expression sees:
//
//	players   list(player)               everybody, team by team
//	teams     map(string, list(player))  by the name of the team, as in the
//	                                     match: "aliens" of quantity 2 makes
//	                                     aliens_1 and aliens_2
//	tickets   list(ticket)               in no order
//	region    string                     "" where tickets ask for none
//	wait      double                     seconds, of the ticket that decides on
//	                                     expansions
//	bots      int                        how many fill up the teams
//
// A player has
//
//	id          string
//	ticket      string                   the id of the party
//	team        string
//	attributes  .NAME for each attribute that the rule set declares: string,
//	            double, list(string) or map(string, double), by its type
//	latency     map(string, double)      milliseconds by region
//
// and a ticket
//
//	id    string
//	size  int                            players
//	wait  double                         seconds
//
// Players are those of the match with their own values: nothing is aggregated
// over a party. An attribute that a player lacks has the default of the rule
// set; without one it is an error to read it, and has(p.attributes.NAME) is
// false. A name that is no identifier is written in backquotes:
// p.attributes.`game-mode`.
//
// Beside what CEL has of itself there are avg, sum, min and max of a
// list(double), and the extensions lists, math and sets of cel-go, but flatten.
// A list without elements has no avg, min or max: that is an error. The
// extension strings is left out: join and replace make much of little faster
// than cost limits notice.
//
// Everything is checked when the rule is compiled: types, the names of
// attributes and of teams, and that the largest match costs at most MaxCost.
// An error in an evaluation breaks the rule.
//
// Designers' text is not trusted to be cheap. CEL adds up costs, but only after
// each operation and without looking into what is nested, so operations that
// could take long by themselves are refused (guard): with them no list is longer
// than those of the match and those written out.
package expression

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/ext"

	"torikumi/pkg/ruleset"
)

const (
	// MaxCharacters is the longest expression.
	MaxCharacters = 4096
	// MaxDepth is how deep brackets, calls and chains of operators may be nested.
	MaxDepth = 64
	// MaxCost bounds an evaluation, in units of CEL: about one for each name,
	// field and operation, and one for ten characters that are compared. Two
	// numbers of each pair of 200 players cost about 600,000.
	MaxCost = 2_000_000
	// maxErrors is how many mistakes of a text are told.
	maxErrors = 10
)

// Check says what is wrong with the expression of a rule, as ruleset.Checks
// wants it.
func Check(d *ruleset.Definition, r *ruleset.Rule) (mistakes []ruleset.Mistake) {
	defer recovered(&mistakes)
	s, err := NewSchema(d)
	if err != nil {
		return whole("%v", err)
	}
	_, mistakes = s.Compile(r.Expression)
	return mistakes
}

// recovered makes a mistake of a panic. CEL recovers in evaluations. Its parser
// and checker meet designers' text too, and a bug there must not end a service.
func recovered(mistakes *[]ruleset.Mistake) {
	if p := recover(); p != nil {
		*mistakes = whole("internal error: %v", p)
	}
}

// whole is a mistake of the whole text.
func whole(format string, args ...any) []ruleset.Mistake {
	return []ruleset.Mistake{{Message: fmt.Sprintf(format, args...)}}
}

// Compile readies an expression. It is safe for concurrent use once all fields
// are set.
func (s *Schema) Compile(text string) (program cel.Program, mistakes []ruleset.Mistake) {
	defer recovered(&mistakes)
	env, err := s.env.Extend(cel.CustomTypeProvider(s), cel.ASTValidators(guard{s}))
	if err != nil {
		return nil, whole("%v", err)
	}
	ast, issues := env.CompileSource(common.NewStringSource(text, "expression"))
	if all := issues.Errors(); len(all) > 0 {
		for _, e := range all[:min(len(all), maxErrors)] {
			mistakes = append(mistakes, mistake(e))
		}
		return nil, mistakes
	}
	if t := ast.OutputType(); !t.IsExactType(cel.BoolType) {
		return nil, whole("must be true or false, but is of type %s", t)
	}
	if cost, err := env.EstimateCost(ast, &sizes{Schema: s}); err != nil || cost.Max > MaxCost {
		return nil, whole("may cost more than %d for a match of %d players", MaxCost, s.players)
	}
	options := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
	// To count costs takes most of the time of an evaluation. It is needed only
	// where what is read could be so long that the limit is passed.
	if cost, err := env.EstimateCost(ast, &sizes{Schema: s, longest: true}); err != nil || cost.Max > MaxCost {
		options = append(options, cel.CostLimit(MaxCost))
	}
	program, err = env.Program(ast, options...)
	if err != nil {
		return nil, whole("%v", err)
	}
	return program, nil
}

// Constant says what an expression comes to that is the same for every match, as
// "false" or "1 / 0 == 1" are; the expression has passed Check. The error is that of
// its evaluation.
func Constant(d *ruleset.Definition, r *ruleset.Rule) (value bool, err error, constant bool) {
	defer func() {
		if recover() != nil { // see recovered: it is then not known to be constant
			value, err, constant = false, nil, false
		}
	}()
	s, err := NewSchema(d)
	if err != nil {
		return false, nil, false
	}
	env, err := s.env.Extend(cel.CustomTypeProvider(s))
	if err != nil {
		return false, nil, false
	}
	ast, issues := env.CompileSource(common.NewStringSource(r.Expression, "expression"))
	if issues.Err() != nil {
		return false, nil, false
	}
	fold, err := cel.NewConstantFoldingOptimizer()
	if err != nil {
		return false, nil, false
	}
	optimizer, err := cel.NewStaticOptimizer(fold)
	if err != nil {
		return false, nil, false
	}
	if folded, issues := optimizer.Optimize(env, ast); issues.Err() == nil {
		ast = folded
	}
	for _, reference := range ast.NativeRep().ReferenceMap() {
		if slices.Contains(variables, reference.Name) {
			return false, nil, false
		}
	}
	program, err := env.Program(ast, cel.CostLimit(MaxCost))
	if err != nil {
		return false, nil, false
	}
	result, _, err := program.Eval(cel.NoVars())
	if err != nil {
		return false, err, true
	}
	value, ok := result.Value().(bool)
	return value, nil, ok
}

// environment is what all rule sets share.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		cel.ParserExpressionSizeLimit(MaxCharacters), cel.ParserRecursionLimit(MaxDepth),
		cel.CrossTypeNumericComparisons(true), cel.EnableIdentifierEscapeSyntax(), cel.HomogeneousAggregateLiterals(),
		ext.Lists(ext.ListsMaxRangeSize(ruleset.MaxPlayers)), ext.Math(), ext.Sets(),
		cel.Lib(aggregates{}), cel.CostEstimatorOptions(estimates()...),
		// Declared to be refused with a word of advice (guard).
		cel.Function(operators.Index, cel.Overload("attributes_index", []*cel.Type{AttributesType, cel.StringType}, cel.DynType)),
		cel.Variable("players", cel.ListType(PlayerType)),
		cel.Variable("teams", teamsType),
		cel.Variable("tickets", cel.ListType(TicketType)),
		cel.Variable("region", cel.StringType),
		cel.Variable("wait", cel.DoubleType),
		cel.Variable("bots", cel.IntType),
	)
})

// mixed are operands of which one is a double and the other an int, or a list of them.
var mixed = regexp.MustCompile(`\((?:double, (?:list\()?int|int, (?:list\()?double)`)

// mistake has a place, from 1; some are of the whole text.
func mistake(e *cel.Error) ruleset.Mistake {
	m := ruleset.Mistake{Message: e.Message}
	if strings.Contains(e.Message, "no matching overload") && mixed.MatchString(e.Message) {
		m.Message += `; write 1.0 in the place of 1, or double(...)`
	}
	if e.Location.Line() > 0 {
		m.Line, m.Column = e.Location.Line(), e.Location.Column()+1
	}
	return m
}
