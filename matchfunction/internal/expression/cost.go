package expression

import (
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/checker"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"

	"torikumi/pkg/ruleset"
)

// How long what players bring may be: the elements of a list or a map, and the
// characters of a text. The frontend lets through the usual; what is longer than
// the most is not read.
const (
	usualValues = 64
	usualText   = 256
	maxValues   = 1000
	maxText     = 4096
)

// sizes bounds the sizes of values for the estimate of costs.
type sizes struct {
	*schema
	// longest asks for bounds that nothing exceeds, instead of those of usual
	// players: then there is none for what an expression makes by itself, but
	// for what CEL knows.
	longest bool
}

// EstimateSize implements checker.CostEstimator.
func (s *sizes) EstimateSize(n checker.AstNode) *checker.SizeEstimate {
	values, text := usualValues, usualText
	if s.longest {
		values, text = maxValues, maxText
	}
	path, most := n.Path(), 0
	if s.longest && (len(path) == 0 || path[0] != "players" && path[0] != "teams" && path[0] != "tickets") {
		return nil
	}
	switch t := n.Type(); t.Kind() {
	case types.StructKind:
		most = 1
	case types.StringKind:
		most = text
	case types.ListKind:
		switch element := t.Parameters()[0]; {
		case element.IsExactType(playerType), element.IsExactType(ticketType):
			most = s.players
		case slices.Contains(path, "attributes"):
			most = values
		default:
			most = max(s.players, values)
		}
	case types.MapKind:
		most = values
		if t.IsExactType(teamsType) {
			most = len(s.teams)
		}
	default:
		return nil
	}
	return &checker.SizeEstimate{Max: uint64(most)}
}

// EstimateCallCost implements checker.CostEstimator.
func (*sizes) EstimateCallCost(string, string, *checker.AstNode, []checker.AstNode) *checker.CallEstimate {
	return nil
}

// estimates are for the calls whose cost CEL cannot bound: a range of computed
// length, and what compares the texts in a computed list.
func estimates() []checker.CostOption {
	call := func(cost checker.CostEstimate, size checker.SizeEstimate) *checker.CallEstimate {
		return &checker.CallEstimate{CostEstimate: cost.Add(checker.FixedCostEstimate(11)), ResultSize: &size}
	}
	options := []checker.CostOption{
		checker.OverloadCostEstimate("lists_range", func(checker.CostEstimator, *checker.AstNode, []checker.AstNode) *checker.CallEstimate {
			n := checker.SizeEstimate{Max: ruleset.MaxPlayers}
			return call(n.AsCost(), n)
		}),
	}
	for _, overload := range []string{"list_distinct", "list_string_sort", "list_string_sortByAssociatedKeys"} {
		options = append(options, checker.OverloadCostEstimate(overload, func(by checker.CostEstimator, target *checker.AstNode, _ []checker.AstNode) *checker.CallEstimate {
			n := size(by, *target)
			return call(n.Multiply(n).MultiplyByCostFactor(2+usualText/10), n)
		}))
	}
	return options
}

func size(by checker.CostEstimator, n checker.AstNode) checker.SizeEstimate {
	if s := n.ComputedSize(); s != nil {
		return *s
	}
	if s := by.EstimateSize(n); s != nil {
		return *s
	}
	return checker.UnknownSizeEstimate()
}

// aggregates is the library of functions that make one number of many.
type aggregates struct{}

var functions = map[string]func([]float64) float64{
	"avg": func(v []float64) float64 { return sum(v) / float64(len(v)) },
	"sum": sum,
	"min": slices.Min[[]float64],
	"max": slices.Max[[]float64],
}

func sum(v []float64) float64 {
	s := 0.0
	for _, x := range v {
		s += x
	}
	return s
}

// CompileOptions implements cel.Library.
func (aggregates) CompileOptions() []cel.EnvOption {
	var options []cel.EnvOption
	for name, f := range functions {
		binding := cel.UnaryBinding(func(list ref.Val) ref.Val {
			var v []float64
			for it := list.(traits.Lister).Iterator(); it.HasNext() == types.True; {
				x, _ := it.Next().(types.Double) // checked
				v = append(v, float64(x))
			}
			if len(v) == 0 && name != "sum" {
				return types.NewErr("a list without elements has no %s", name)
			}
			return types.Double(f(v))
		})
		options = append(options,
			cel.Function(name, cel.Overload(name+"_list", []*cel.Type{cel.ListType(cel.DoubleType)}, cel.DoubleType, binding)),
			cel.CostEstimatorOptions(checker.OverloadCostEstimate(name+"_list", func(by checker.CostEstimator, _ *checker.AstNode, args []checker.AstNode) *checker.CallEstimate {
				return &checker.CallEstimate{CostEstimate: size(by, args[0]).AsCost()}
			})))
	}
	return options
}

// ProgramOptions implements cel.Library.
func (aggregates) ProgramOptions() []cel.ProgramOption {
	var options []cel.ProgramOption
	for name := range functions {
		options = append(options, cel.CostTrackerOptions(interpreter.OverloadCostTracker(name+"_list", func(args []ref.Val, _ ref.Val) *uint64 {
			cost := uint64(args[0].(traits.Sizer).Size().(types.Int))
			return &cost
		})))
	}
	return options
}
