package expression

import (
	"fmt"
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"torikumi/pkg/ruleset"
)

// The types of objects. Their names cannot be written in an expression, so that
// none can make one.
var (
	playerType     = cel.ObjectType("a player")
	attributesType = cel.ObjectType("attributes of a player")
	ticketType     = cel.ObjectType("a ticket")
	teamsType      = cel.MapType(cel.StringType, cel.ListType(playerType))
	numbersType    = cel.MapType(cel.StringType, cel.DoubleType)
)

// schema is what the checker has to know of a rule set, and how the fields of
// objects are read. It is immutable.
type schema struct {
	types.Provider // of CEL's own types
	env            *cel.Env
	fields         map[string]map[string]*types.FieldType
	teams          map[string]bool
	// players is the size of the largest match.
	players int
	// byOldest: see ruleset.RuleSet.ByOldest.
	byOldest bool
}

func newSchema(d *ruleset.Definition) (*schema, error) {
	env, err := environment()
	if err != nil {
		return nil, err
	}
	attributes := map[string]*types.FieldType{}
	for _, a := range d.Attributes {
		if attributes[a.Name], err = attribute(a); err != nil {
			return nil, err
		}
	}
	s := &schema{
		Provider: env.CELTypeProvider(), env: env, teams: map[string]bool{}, byOldest: d.Algorithm.ExpansionAge == ruleset.Oldest,
		fields: map[string]map[string]*types.FieldType{
			attributesType.TypeName(): attributes,
			playerType.TypeName(): {
				"id":     field(cel.StringType, func(p *player) ref.Val { return types.String(p.v.Player.ID) }),
				"ticket": field(cel.StringType, func(p *player) ref.Val { return types.String(p.v.Ticket.ID) }),
				"team":   field(cel.StringType, func(p *player) ref.Val { return types.String(p.v.team) }),
				// The attributes of a player are the player, seen as another type.
				"attributes": field(attributesType, func(p *player) ref.Val { return p }),
				"latency":    field(numbersType, latencies),
			},
			ticketType.TypeName(): {
				"id":   field(cel.StringType, func(t *ticket) ref.Val { return types.String(t.v.ID) }),
				"size": field(cel.IntType, func(t *ticket) ref.Val { return types.Int(len(t.v.Players)) }),
				"wait": field(cel.DoubleType, func(t *ticket) ref.Val { return types.Double(t.v.wait.Seconds()) }),
			},
		},
	}
	for _, p := range d.Places() {
		s.teams[p.Name] = true
		s.players += p.Max
	}
	return s, nil
}

// FindStructType implements types.Provider.
func (s *schema) FindStructType(name string) (*types.Type, bool) {
	_, ok := s.fields[name]
	return types.NewTypeTypeWithParam(types.NewObjectType(name)), ok
}

// FindStructFieldType implements types.Provider.
func (s *schema) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	f, ok := s.fields[name][field]
	return f, ok
}

// field is a field that is always there.
func field[T any](t *cel.Type, get func(*object[T]) ref.Val) *types.FieldType {
	return &types.FieldType{
		Type:    t,
		IsSet:   func(any) bool { return true },
		GetFrom: func(of any) (any, error) { return get(of.(*object[T])), nil },
	}
}

// attribute is the field of a declared attribute.
func attribute(a ruleset.Attribute) (*types.FieldType, error) {
	var t *cel.Type
	var read func(*ruleset.Value) ref.Val
	switch a.Type {
	case ruleset.String:
		t, read = cel.StringType, func(v *ruleset.Value) ref.Val { return types.String(v.String) }
	case ruleset.Number:
		t, read = cel.DoubleType, func(v *ruleset.Value) ref.Val { return types.Double(v.Number) }
	case ruleset.StringList:
		t, read = cel.ListType(cel.StringType), func(v *ruleset.Value) ref.Val { return types.NewStringList(adapter, v.List) }
	case ruleset.StringNumberMap:
		t, read = numbersType, func(v *ruleset.Value) ref.Val { return newNumbers(v.Map) }
	default:
		return nil, fmt.Errorf("the attribute %q has no type", a.Name)
	}
	find := func(of any) *ruleset.Value {
		attributes := of.(*player).v.Player.Attributes
		for i := range attributes {
			if attributes[i].Name == a.Name && attributes[i].Value.Type == a.Type {
				return &attributes[i].Value
			}
		}
		if a.Default != nil && a.Default.Type == a.Type {
			return a.Default
		}
		return nil
	}
	return &types.FieldType{
		Type:  t,
		IsSet: func(of any) bool { return find(of) != nil },
		GetFrom: func(of any) (any, error) {
			switch v := find(of); {
			case v == nil:
				return nil, fmt.Errorf("player %q has no attribute %q", of.(*player).v.Player.ID, a.Name)
			case tooLong(v):
				return nil, fmt.Errorf("player %q has an attribute %q that is too long", of.(*player).v.Player.ID, a.Name)
			default:
				return read(v), nil
			}
		},
	}, nil
}

func tooLong(v *ruleset.Value) bool {
	long := func(text string) bool { return len(text) > maxText }
	return len(v.List) > maxValues || len(v.Map) > maxValues || long(v.String) || slices.ContainsFunc(v.List, long)
}
