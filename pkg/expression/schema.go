package expression

import (
	"fmt"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"

	"torikumi/pkg/ruleset"
)

// The types of objects. Their names cannot be written in an expression, so that
// none can make one.
var (
	PlayerType     = cel.ObjectType("a player")
	AttributesType = cel.ObjectType("attributes of a player")
	TicketType     = cel.ObjectType("a ticket")

	teamsType   = cel.MapType(cel.StringType, cel.ListType(PlayerType))
	numbersType = cel.MapType(cel.StringType, cel.DoubleType)
)

// Schema is what the checker has to know of a rule set. Whoever evaluates
// expressions adds how fields are read, before it compiles any.
type Schema struct {
	types.Provider // of CEL's own types
	env            *cel.Env
	fields         map[string]map[string]*types.FieldType
	teams          map[string]bool
	// players is the size of the largest match.
	players int
}

// NewSchema makes the schema of a definition.
func NewSchema(d *ruleset.Definition) (*Schema, error) {
	env, err := environment()
	if err != nil {
		return nil, err
	}
	attributes := map[string]*types.FieldType{}
	for _, a := range d.Attributes {
		t, err := attributeType(a)
		if err != nil {
			return nil, err
		}
		attributes[a.Name] = &types.FieldType{Type: t}
	}
	s := &Schema{
		Provider: env.CELTypeProvider(), env: env, teams: map[string]bool{}, players: d.MaxPlayers(),
		fields: map[string]map[string]*types.FieldType{
			AttributesType.TypeName(): attributes,
			PlayerType.TypeName(): {
				"id": {Type: cel.StringType}, "ticket": {Type: cel.StringType}, "team": {Type: cel.StringType},
				"attributes": {Type: AttributesType}, "latency": {Type: numbersType},
			},
			TicketType.TypeName(): {
				"id": {Type: cel.StringType}, "size": {Type: cel.IntType}, "wait": {Type: cel.DoubleType},
			},
		},
	}
	for _, p := range d.TeamSlots() {
		s.teams[p.Name] = true
	}
	return s, nil
}

// Players is the size of the largest match.
func (s *Schema) Players() int { return s.players }

// Teams is how many teams a match has.
func (s *Schema) Teams() int { return len(s.teams) }

// Read says how a field of a type is read, which there has to be.
func (s *Schema) Read(of *cel.Type, field string, isSet func(any) bool, get func(any) (any, error)) {
	f := s.fields[of.TypeName()][field]
	f.IsSet, f.GetFrom = isSet, get
}

// FindStructType implements types.Provider.
func (s *Schema) FindStructType(name string) (*types.Type, bool) {
	_, ok := s.fields[name]
	return types.NewTypeTypeWithParam(types.NewObjectType(name)), ok
}

// FindStructFieldType implements types.Provider.
func (s *Schema) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	f, ok := s.fields[name][field]
	return f, ok
}

// attributeType is the type of a declared attribute. One without a type is a
// mistake of the rule set that is told where it stands, and here of any type.
func attributeType(a ruleset.Attribute) (*cel.Type, error) {
	switch a.Type {
	case "":
		return cel.DynType, nil
	case ruleset.String:
		return cel.StringType, nil
	case ruleset.Number:
		return cel.DoubleType, nil
	case ruleset.StringList:
		return cel.ListType(cel.StringType), nil
	case ruleset.StringNumberMap:
		return numbersType, nil
	default:
		return nil, fmt.Errorf("the attribute %q has no type", a.Name)
	}
}
