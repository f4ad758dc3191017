package expression

import (
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"torikumi/pkg/ruleset"
)

// How long what players bring may be: the elements of a list or a map, and the
// characters of a text. The frontend lets through the usual; what is longer than
// the most is not read.
const (
	usualValues = 64
	usualText   = 256
	// MaxValues and MaxText are the most that is read.
	MaxValues = 1000
	MaxText   = 4096
)

// sizes bounds the sizes of values for the estimate of costs.
type sizes struct {
	*Schema
	// longest asks for bounds that nothing exceeds, instead of those of usual
	// players: then there is none for what an expression makes by itself, but
	// for what CEL knows.
	longest bool
}

// EstimateSize implements cost.Estimator.
func (s *sizes) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	values, text := usualValues, usualText
	if s.longest {
		values, text = MaxValues, MaxText
	}
	path := n.Path()
	if s.longest && (len(path) == 0 || path[0] != "players" && path[0] != "teams" && path[0] != "tickets") {
		return nil
	}
	var most int
	switch t := n.Type(); t.Kind() {
	case types.StructKind:
		most = 1
	case types.StringKind:
		most = text
	case types.ListKind:
		switch element := t.Parameters()[0]; {
		case element.IsExactType(PlayerType), element.IsExactType(TicketType):
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
	return &cost.SizeEstimate{Max: uint64(most)}
}

// EstimateCallCost implements cost.Estimator.
func (*sizes) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}

// estimates are for the calls whose cost CEL cannot bound: a range of computed
// length, and what compares the texts in a computed list.
func estimates() []cost.Option {
	call := func(by cost.Estimate, size cost.SizeEstimate) *cost.CallEstimate {
		return &cost.CallEstimate{CostEstimate: by.Add(cost.FixedCostEstimate(11)), ResultSize: &size}
	}
	options := []cost.Option{
		cost.OverloadCostEstimate("lists_range", func(cost.Estimator, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
			n := cost.SizeEstimate{Max: ruleset.MaxPlayers}
			return call(n.AsCost(), n)
		}),
	}
	for _, overload := range []string{"list_distinct", "list_string_sort", "list_string_sortByAssociatedKeys"} {
		options = append(options, cost.OverloadCostEstimate(overload, func(by cost.Estimator, target *cost.AstNode, _ []cost.AstNode) *cost.CallEstimate {
			n := size(by, *target)
			return call(n.Multiply(n).MultiplyByCostFactor(2+usualText/10), n)
		}))
	}
	return options
}

func size(by cost.Estimator, n cost.AstNode) cost.SizeEstimate {
	if s := n.ComputedSize(); s != nil {
		return *s
	}
	if s := by.EstimateSize(n); s != nil {
		return *s
	}
	return cost.UnknownSizeEstimate()
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
			cel.CostEstimatorOptions(cost.OverloadCostEstimate(name+"_list", func(by cost.Estimator, _ *cost.AstNode, args []cost.AstNode) *cost.CallEstimate {
				return &cost.CallEstimate{CostEstimate: size(by, args[0]).AsCost()}
			})))
	}
	return options
}

// ProgramOptions implements cel.Library.
func (aggregates) ProgramOptions() []cel.ProgramOption {
	var options []cel.ProgramOption
	for name := range functions {
		options = append(options, cel.CostTrackerOptions(cost.OverloadTracker(name+"_list", func(args []ref.Val, _ ref.Val) *uint64 {
			n := uint64(args[0].(traits.Sizer).Size().(types.Int))
			return &n
		})))
	}
	return options
}
