package expression

import (
	"fmt"
	"regexp/syntax"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
)

// maxPattern bounds regular expressions, in instructions.
const maxPattern = 1000

var variables = []string{"players", "teams", "tickets", "region", "wait", "bots"}

// guard refuses what CEL takes and could take long, or could never be true.
type guard struct{ schema *Schema }

// Name implements cel.ASTValidator.
func (guard) Name() string { return "torikumi.expression" }

// Validate implements cel.ASTValidator.
func (g guard) Validate(_ *cel.Env, _ cel.ValidatorConfig, a *ast.AST, issues *cel.Issues) {
	ast.PostOrderVisit(a.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		reason := ""
		switch e.Kind() {
		case ast.SelectKind:
			if s := e.AsSelect(); !s.IsTestOnly() {
				reason = g.team(s.Operand(), s.FieldName())
			}
		case ast.ComprehensionKind:
			// ".players" would still be the variable, but not for estimates.
			if name := e.AsComprehension().IterVar(); slices.Contains(variables, name) {
				reason = fmt.Sprintf("%q has a meaning already", name)
			}
		case ast.CallKind:
			args := e.AsCall().Args()
			if e.AsCall().IsMemberFunction() {
				args = append([]ast.Expr{e.AsCall().Target()}, args...)
			}
			reason = g.call(a, e.AsCall().FunctionName(), args)
		}
		if reason != "" {
			issues.ReportErrorAtID(e.ID(), "%s", reason)
		}
	}))
}

// team refuses the name of a team that there is not.
func (g guard) team(of ast.Expr, name string) string {
	if of.Kind() != ast.IdentKind || of.AsIdent() != "teams" || g.schema.teams[name] {
		return ""
	}
	return fmt.Sprintf("there is no team %q", name)
}

func (g guard) call(a *ast.AST, name string, args []ast.Expr) string {
	kind := func(i int) *types.Type { return a.GetType(args[i].ID()) }
	switch {
	case name == "dyn", name == "flatten":
		return name + " is not supported"
	case name == operators.Index && kind(0).IsExactType(AttributesType):
		return "write p.attributes.NAME, or p.attributes.`NAME` if it is no identifier"
	case name == operators.Index && args[1].Kind() == ast.LiteralKind:
		if team, ok := args[1].AsLiteral().(types.String); ok {
			return g.team(args[0], string(team))
		}
	case name == operators.Add && kind(0).Kind() == types.ListKind && !accumulator(args[0]):
		// Each would double a list in one step.
		return "lists cannot be added"
	case name == overloads.Matches:
		return pattern(args[1])
	case name == operators.In:
		return incomparable(types.NewListType(kind(0)))
	case name == operators.Equals, name == operators.NotEquals, name == "distinct", strings.HasPrefix(name, "sets."):
		return incomparable(kind(0))
	}
	return ""
}

// accumulator reports whether an expression is the list that a macro adds to. Its
// name cannot be written.
func accumulator(e ast.Expr) bool {
	return e.Kind() == ast.IdentKind && strings.HasPrefix(e.AsIdent(), "@")
}

// pattern refuses what takes long to compile or to match.
func pattern(e ast.Expr) string {
	if e.Kind() != ast.LiteralKind {
		return "the pattern of matches must be written out"
	}
	text, _ := e.AsLiteral().(types.String)
	tree, err := syntax.Parse(string(text), syntax.Perl)
	if err != nil {
		return err.Error()
	}
	if program, err := syntax.Compile(tree.Simplify()); err != nil || len(program.Inst) > maxPattern {
		return "the pattern is too large"
	}
	return ""
}

// incomparable refuses types whose values are compared with one another in more
// steps than they have elements, or by what is not their content.
func incomparable(t *types.Type) string {
	refused := t.IsExactType(AttributesType)
	for _, p := range t.Parameters() {
		refused = refused || p.Kind() == types.ListKind || p.Kind() == types.MapKind || p.IsExactType(AttributesType)
	}
	if refused {
		return fmt.Sprintf("values of type %s cannot be compared", t)
	}
	return ""
}
