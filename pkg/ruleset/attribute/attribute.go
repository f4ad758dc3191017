// Package attribute is what an attribute of a player is. It stands apart from
// the rest of the rule sets, as WebAssembly modules have it in them.
package attribute

// Type is the type of an attribute.
type Type string

// The types.
const (
	String          Type = "string"
	Number          Type = "number"
	StringList      Type = "string_list"
	StringNumberMap Type = "string_number_map"
)

// Value is the value of an attribute; Type tells which field holds it.
type Value struct {
	Type   Type
	Number float64 // finite
	String string
	List   []string
	Map    map[string]float64 // finite
}
