package ruleset

// Expr is a property expression. Exactly one of its fields is set.
//
// A value is a scalar (number or string), or a list of values. What an
// expression yields depends on the match: see Path and Call.
type Expr struct {
	Literal *Literal
	Path    *Path
	Call    *Call
	// Source is the text it was read from.
	Source string
	// Type of what it yields.
	Type ExprType
}

// Attribute is the attribute of players that it reads, or empty.
func (e *Expr) Attribute() string {
	for e.Call != nil {
		e = e.Call.Argument
	}
	if e.Path == nil {
		return ""
	}
	return e.Path.Attribute
}

// Constants are the numbers or the words of a literal; of what is none, or nil, there
// are none.
func (e *Expr) Constants() (numbers []float64, words []string) {
	if e == nil || e.Literal == nil {
		return nil, nil
	}
	numbers, words = e.Literal.Numbers, e.Literal.Strings
	if e.Literal.Number != nil {
		numbers = []float64{*e.Literal.Number}
	}
	if e.Literal.String != nil {
		words = []string{*e.Literal.String}
	}
	return numbers, words
}

// ExprType is a scalar inside a number of lists.
type ExprType struct {
	Scalar AttributeType // Number or String
	Lists  int
}

// Literal is a number, a string, or a list of either.
type Literal struct {
	Number  *float64
	String  *string
	Numbers []float64
	Strings []string
}

// Path reads from the players of teams:
//
//	teams[red].players.attributes[skill]   list of a value per player
//	teams[red,blue].players…, teams[*]…    list of such lists, one per team
//	….players[playerId]                    the players' ids
//	teams[red].players                     the players, for count alone
//
// A team of quantity above 1 stands for a list of teams. A string_list
// attribute is a list of strings in the place of a scalar, a
// string_number_map can't be read.
type Path struct {
	// Slots are positions in Definition.TeamSlots.
	Slots []int
	// List reports whether there is a list of teams, even if of one.
	List bool
	// Property is what is read of each player.
	Property Property
	// Attribute is its name, for PlayerAttribute.
	Attribute string
}

// Property is what a Path reads of a player.
type Property int

// The properties. Players is the player itself, which can only be counted.
const (
	Players Property = iota
	PlayerID
	PlayerAttribute
)

// Function is one of the functions of property expressions.
type Function string

// The functions. Flatten takes one level of lists away. SetIntersection takes
// a list of string lists and yields the distinct strings that are in all of
// them, in order; of an empty list it yields an empty one. The others take a
// list of scalars and yield a number. Any of them but Flatten, given a list of
// what it takes, yields the list of its results.
const (
	FnMin             Function = "min"
	FnMax             Function = "max"
	FnAvg             Function = "avg"
	FnMedian          Function = "median" // the mean of the middle two of an even number
	FnSum             Function = "sum"    // 0 of none
	FnCount           Function = "count"
	FnStddev          Function = "stddev" // of the population
	FnFlatten         Function = "flatten"
	FnSetIntersection Function = "set_intersection"
)

// Call is a function of an expression.
type Call struct {
	Function Function
	Argument *Expr
}
