package expression

import (
	"fmt"
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"torikumi/pkg/expression"
	"torikumi/pkg/ruleset"
)

// schema is that of a rule set, with how the fields of objects are read. It is
// immutable.
type schema struct {
	*expression.Schema
	// byOldest: see ruleset.RuleSet.ByOldest.
	byOldest bool
}

func newSchema(d *ruleset.Definition) (*schema, error) {
	of, err := expression.NewSchema(d)
	if err != nil {
		return nil, err
	}
	for _, a := range d.Attributes {
		readAttribute(of, a)
	}
	player := expression.PlayerType
	read(of, player, "id", func(p *object[person]) ref.Val { return types.String(p.v.Player.ID) })
	read(of, player, "ticket", func(p *object[person]) ref.Val { return types.String(p.v.Ticket.ID) })
	read(of, player, "team", func(p *object[person]) ref.Val { return types.String(p.v.team) })
	// The attributes of a player are the player, seen as another type.
	read(of, player, "attributes", func(p *object[person]) ref.Val { return p })
	read(of, player, "latency", latencies)
	ticket := expression.TicketType
	read(of, ticket, "id", func(t *object[party]) ref.Val { return types.String(t.v.ID) })
	read(of, ticket, "size", func(t *object[party]) ref.Val { return types.Int(len(t.v.Players)) })
	read(of, ticket, "wait", func(t *object[party]) ref.Val { return types.Double(t.v.wait.Seconds()) })
	return &schema{Schema: of, byOldest: d.Algorithm.ExpansionAge == ruleset.Oldest}, nil
}

// read is for a field that is always there.
func read[T any](s *expression.Schema, of *cel.Type, field string, get func(*object[T]) ref.Val) {
	s.Read(of, field, func(any) bool { return true }, func(of any) (any, error) { return get(of.(*object[T])), nil })
}

// readAttribute is for a declared attribute. No default stands in for a value of another
// type.
func readAttribute(s *expression.Schema, a ruleset.Attribute) {
	find := func(of any) (*ruleset.Value, error) {
		p := of.(*player).v.Player
		for i := range p.Attributes {
			if v := &p.Attributes[i].Value; p.Attributes[i].Name == a.Name {
				if v.Type != a.Type {
					return nil, fmt.Errorf("player %q has an attribute %q that is a %s, must be a %s", p.ID, a.Name, v.Type, a.Type)
				}
				return v, nil
			}
		}
		if a.Default != nil && a.Default.Type == a.Type {
			return a.Default, nil
		}
		return nil, fmt.Errorf("player %q has no attribute %q", p.ID, a.Name)
	}
	isSet := func(of any) bool {
		_, err := find(of)
		return err == nil
	}
	s.Read(expression.AttributesType, a.Name, isSet, func(of any) (any, error) {
		switch v, err := find(of); {
		case err != nil:
			return nil, err
		case tooLong(v):
			return nil, fmt.Errorf("player %q has an attribute %q that is too long", of.(*player).v.Player.ID, a.Name)
		default:
			return celValue(v), nil
		}
	})
}

func celValue(v *ruleset.Value) ref.Val {
	switch v.Type {
	case ruleset.String:
		return types.String(v.String)
	case ruleset.Number:
		return types.Double(v.Number)
	case ruleset.StringList:
		return types.NewStringList(adapter, v.List)
	default:
		return newNumbers(v.Map)
	}
}

func tooLong(v *ruleset.Value) bool {
	long := func(text string) bool { return len(text) > expression.MaxText }
	return len(v.List) > expression.MaxValues || len(v.Map) > expression.MaxValues || long(v.String) || slices.ContainsFunc(v.List, long)
}
