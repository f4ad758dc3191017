package expression

import (
	"errors"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"torikumi/matchfunction/rule"
	"torikumi/pkg/expression"
)

var adapter = types.DefaultTypeAdapter

// object is a value whose fields are read by the schema. It equals itself only;
// the conversions, which mean nothing for it, are those of its type.
type object[T any] struct {
	ref.Val // the type
	v       T
}

type (
	player = object[person]
	ticket = object[party]
)

// person is a player of a match.
type person struct {
	rule.Member
	team      string
	latencies ref.Val
}

// party is a ticket of a match.
type party struct {
	*rule.Ticket
	wait time.Duration
}

// Equal implements ref.Val.
func (o *object[T]) Equal(other ref.Val) ref.Val { return types.Bool(ref.Val(o) == other) }

// Type implements ref.Val.
func (o *object[T]) Type() ref.Type { return o.Val.(*types.Type) }

// Value implements ref.Val.
func (o *object[T]) Value() any { return o }

func latencies(p *player) ref.Val {
	if p.v.latencies == nil {
		m := make(map[string]float64, len(p.v.Player.Latencies))
		for _, l := range p.v.Player.Latencies {
			m[l.Region] = l.Milliseconds
		}
		p.v.latencies = newNumbers(m)
	}
	return p.v.latencies
}

// numbers is a map(string, double) that is looked up without reflection.
type numbers struct {
	traits.Mapper
	m map[string]float64
}

func newNumbers(m map[string]float64) ref.Val { return &numbers{types.NewDynamicMap(adapter, m), m} }

// Find implements traits.Mapper.
func (n *numbers) Find(key ref.Val) (ref.Val, bool) {
	name, _ := key.(types.String)
	x, ok := n.m[string(name)]
	return types.Double(x), ok
}

// view is a match as one evaluation sees it; it is made as far as it is asked
// for.
type view struct {
	schema  *schema
	match   *rule.Match
	size    int
	objects []ref.Val // the players, team by team
	players ref.Val
	teams   ref.Val
	tickets ref.Val
}

func newView(s *schema, m *rule.Match) (*view, error) {
	v := &view{schema: s, match: m}
	for i := range m.Teams {
		v.size += len(m.Teams[i].Members)
	}
	if v.size > s.Players() || len(m.Tickets) > s.Players() || len(m.Teams) > s.Teams() {
		return nil, errors.New("the match is larger than the rule set allows")
	}
	return v, nil
}

// Parent implements cel.Activation.
func (v *view) Parent() cel.Activation { return nil }

// ResolveName implements cel.Activation.
func (v *view) ResolveName(name string) (any, bool) {
	switch name {
	case "players":
		v.readPlayers()
		return v.players, true
	case "teams":
		v.readTeams()
		return v.teams, true
	case "tickets":
		v.readTickets()
		return v.tickets, true
	case "region":
		return types.String(v.match.Region), true
	case "wait":
		return types.Double(v.match.Wait.Seconds()), true
	case "bots":
		n := 0
		for i := range v.match.Teams {
			n += v.match.Teams[i].Bots
		}
		return types.Int(n), true
	}
	return nil, false
}

func (v *view) readPlayers() {
	if v.players != nil {
		return
	}
	players := make([]player, 0, v.size)
	v.objects = make([]ref.Val, 0, v.size)
	for _, team := range v.match.Teams {
		for _, m := range team.Members {
			players = append(players, player{expression.PlayerType, person{Member: m, team: team.Name}})
			v.objects = append(v.objects, &players[len(players)-1])
		}
	}
	v.players = types.NewRefValList(adapter, v.objects)
}

func (v *view) readTeams() {
	if v.teams != nil {
		return
	}
	v.readPlayers()
	rest, m := v.objects, make(map[ref.Val]ref.Val, len(v.match.Teams))
	for _, team := range v.match.Teams {
		n := len(team.Members)
		m[types.String(team.Name)] = types.NewRefValList(adapter, rest[:n:n])
		rest = rest[n:]
	}
	v.teams = types.NewRefValMap(adapter, m)
}

// readTickets tells the waits of all by that of the ticket that decides on
// expansions, which is the newest or the oldest.
func (v *view) readTickets() {
	if v.tickets != nil {
		return
	}
	var decides time.Time
	for i, t := range v.match.Tickets {
		if i == 0 || v.schema.byOldest && t.Created.Before(decides) || !v.schema.byOldest && t.Created.After(decides) {
			decides = t.Created
		}
	}
	now := decides.Add(v.match.Wait)
	tickets := make([]ticket, len(v.match.Tickets))
	objects := make([]ref.Val, len(tickets))
	for i, t := range v.match.Tickets {
		tickets[i] = ticket{expression.TicketType, party{t, now.Sub(t.Created)}}
		objects[i] = &tickets[i]
	}
	v.tickets = types.NewRefValList(adapter, objects)
}
