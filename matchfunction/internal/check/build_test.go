package check_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"torikumi/matchfunction/internal/check"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// This file builds rule sets, players and matches for the tables.

// now is when matches are judged, wait how long a ticket has waited then.
var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

const wait = 10 * time.Second

// The teams by position.
const red, blue = 0, 1

func num(name string, v float64) rule.Attribute {
	return rule.Attribute{Name: name, Value: ruleset.Value{Type: ruleset.Number, Number: v}}
}

func str(name, v string) rule.Attribute {
	return rule.Attribute{Name: name, Value: ruleset.Value{Type: ruleset.String, String: v}}
}

func strs(name string, v ...string) rule.Attribute {
	return rule.Attribute{Name: name, Value: ruleset.Value{Type: ruleset.StringList, List: v}}
}

func ms(region string, v float64) rule.Latency { return rule.Latency{Region: region, Milliseconds: v} }

// player is a player with attributes and latencies.
func player(id string, has ...any) rule.Player {
	p := rule.Player{ID: id}
	for _, h := range has {
		switch h := h.(type) {
		case rule.Attribute:
			p.Attributes = append(p.Attributes, h)
		case rule.Latency:
			p.Latencies = append(p.Latencies, h)
		default:
			panic(fmt.Sprintf("a player has no %T", h))
		}
	}
	return p
}

// skilled is a player of whom only the skill is known.
func skilled(id string, skill float64) rule.Player { return player(id, num("skill", skill)) }

// ticket is that of a party.
func ticket(id string, players ...rule.Player) *rule.Ticket {
	return &rule.Ticket{ID: id, Created: now.Add(-wait), Players: players}
}

// solo is the ticket of one player.
func solo(id string, has ...any) *rule.Ticket { return ticket("ticket-"+id, player(id, has...)) }

// ace is the ticket of one player of whom only the skill is known.
func ace(id string, skill float64) *rule.Ticket { return solo(id, num("skill", skill)) }

func asks(t *rule.Ticket, region string) *rule.Ticket {
	t.Region = region
	return t
}

// playing makes a ticket that of players who are already in teams.
func playing(t *rule.Ticket, teams ...int) *rule.Ticket {
	t.Teams = teams
	return t
}

func tickets(ts ...*rule.Ticket) []*rule.Ticket { return ts }

// match puts tickets into red and blue.
func match(inRed, inBlue []*rule.Ticket) *rule.Match {
	m := &rule.Match{Teams: []rule.Team{{Name: "red"}, {Name: "blue"}}, Wait: wait}
	for i, in := range [][]*rule.Ticket{inRed, inBlue} {
		for _, t := range in {
			m.Tickets = append(m.Tickets, t)
			for p := range t.Players {
				m.Teams[i].Members = append(m.Teams[i].Members, rule.Member{Player: &t.Players[p], Ticket: t})
			}
		}
	}
	return m
}

// refill adds the ticket of those who already play, each in his or her team.
func refill(m *rule.Match, t *rule.Ticket) *rule.Match {
	m.Tickets = append(m.Tickets, t)
	for p, team := range t.Teams {
		m.Teams[team].Members = append(m.Teams[team].Members, rule.Member{Player: &t.Players[p], Ticket: t})
	}
	return m
}

func in(m *rule.Match, region string) *rule.Match {
	m.Region = region
	return m
}

// definition has two teams of none to five and every type of attribute.
func definition(rules ...ruleset.Rule) ruleset.Definition {
	return ruleset.Definition{
		Attributes: []ruleset.Attribute{
			{Name: "skill", Type: ruleset.Number},
			{Name: "mode", Type: ruleset.String},
			{Name: "maps", Type: ruleset.StringList},
			{Name: "scores", Type: ruleset.StringNumberMap},
			{Name: "level", Type: ruleset.Number, Default: &ruleset.Value{Type: ruleset.Number, Number: 7}},
		},
		Algorithm: ruleset.Algorithm{Strategy: ruleset.ExhaustiveSearch, BatchingPreference: ruleset.Random, ExpansionAge: ruleset.Newest},
		Teams: []ruleset.Team{
			{Name: "red", MaxPlayers: 5, Quantity: 1},
			{Name: "blue", MaxPlayers: 5, Quantity: 1},
		},
		Rules: rules,
	}
}

func ruleSet(d ruleset.Definition) *ruleset.RuleSet {
	return &ruleset.RuleSet{Name: "test", Stages: []ruleset.Stage{{Definition: d}}}
}

// of is an expression that reads an attribute in one team, or in a list of
// several.
func of(attribute string, places ...int) ruleset.Expr {
	return ruleset.Expr{Path: &ruleset.Path{
		Slots: places, List: len(places) > 1, Property: ruleset.PlayerAttribute, Attribute: attribute,
	}}
}

// property is an expression that reads something else of players.
func property(p ruleset.Property, places ...int) ruleset.Expr {
	return ruleset.Expr{Path: &ruleset.Path{Slots: places, List: len(places) > 1, Property: p}}
}

func call(f ruleset.Function, argument ruleset.Expr) ruleset.Expr {
	return ruleset.Expr{Call: &ruleset.Call{Function: f, Argument: &argument}}
}

func number(v float64) ruleset.Expr {
	return ruleset.Expr{Literal: &ruleset.Literal{Number: &v}}
}

func numbers(v ...float64) ruleset.Expr {
	return ruleset.Expr{Literal: &ruleset.Literal{Numbers: v}}
}

func text(v string) ruleset.Expr {
	return ruleset.Expr{Literal: &ruleset.Literal{String: &v}}
}

func texts(v ...string) ruleset.Expr {
	return ruleset.Expr{Literal: &ruleset.Literal{Strings: v}}
}

func measured(es ...ruleset.Expr) []ruleset.Expr { return es }

// checker makes a Checker of one stage.
func checker(t *testing.T, d ruleset.Definition) *check.Checker {
	t.Helper()
	c, err := check.New(ruleSet(d), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// said writes violations as one text.
func said(vs []check.Violation) string {
	var out []string
	for _, v := range vs {
		out = append(out, v.String())
	}
	return strings.Join(out, "; ")
}

// row is a rule and a match that keeps it, or says why not.
type row struct {
	name  string
	rule  ruleset.Rule
	match *rule.Match
	want  string // empty for a match that keeps the rule
}

// run judges each row by its rule alone, which is named "r".
func run(t *testing.T, rows []row) {
	t.Helper()
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := row.rule
			r.Name = "r"
			want := row.want
			if want != "" {
				want = "r: " + want
			}
			if got := said(checker(t, definition(r)).Match(row.match, now)); got != want {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		})
	}
}
