package ruleset

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
)

var functions = []string{
	string(FnMin), string(FnMax), string(FnAvg), string(FnMedian), string(FnSum), string(FnCount), string(FnStddev),
	string(FnFlatten), string(FnSetIntersection),
}

// name says what an expression yields.
func (t ExprType) name() string {
	scalar := string(t.Scalar)
	if t.Scalar == "" {
		scalar = "player"
	}
	if t.Lists == 0 {
		return scalar
	}
	return "list of " + strings.Repeat("lists of ", t.Lists-1) + scalar + "s"
}

// parseExpr reads a property expression. It returns nil after a mistake, which
// it has reported.
func (d *decoder) parseExpr(n *node) *Expr {
	p := exprParser{scanner{d: d, n: n, text: []rune(n.text)}}
	e := p.expr(0)
	if e == nil {
		return nil
	}
	if p.space(); p.next < len(p.text) {
		p.fail(p.next, "unexpected %q after the expression", p.text[p.next])
		return nil
	}
	if e.Type.Scalar == "" {
		d.fail(n, "is a %s; players can only be counted, or read: .players.attributes[NAME]", e.Type.name())
		return nil
	}
	return e
}

type exprParser struct{ scanner }

// expect is accept, and reports what is missing.
func (p *exprParser) expect(r rune) bool {
	if p.accept(r) {
		return true
	}
	p.fail(p.next, "%q is missing", r)
	return false
}

func (p *exprParser) word() (string, int) {
	p.space()
	start := p.next
	for p.next < len(p.text) && (p.text[p.next] == '_' || unicode.IsLetter(p.text[p.next]) || unicode.IsDigit(p.text[p.next])) {
		p.next++
	}
	return string(p.text[start:p.next]), start
}

func (p *exprParser) expr(depth int) *Expr {
	word, at := p.word()
	switch {
	case depth > maxNesting:
		p.fail(at, "is nested deeper than %d levels", maxNesting)
		return nil
	case word == "teams" || word == "team":
		return p.path(at)
	case slices.Contains(functions, word):
		return p.call(Function(word), at, depth)
	case word == "":
		p.fail(at, "an expression is missing: teams[…].players… or a function of it")
		return nil
	}
	known := append([]string{"teams"}, functions...)
	p.fail(at, "%q is neither teams[…] nor a function: %s%s", shorten(word), strings.Join(functions, ", "), didYouMean(word, known))
	return nil
}

// source is the text from a character up to the next one.
func (p *exprParser) source(from int) string {
	return strings.TrimSpace(string(p.text[from:p.next]))
}

func (p *exprParser) call(f Function, at, depth int) *Expr {
	if !p.expect('(') {
		return nil
	}
	argument := p.expr(depth + 1)
	if argument == nil || !p.expect(')') {
		return nil
	}
	t, wrong := f.apply(argument.Type)
	if wrong != "" {
		p.fail(at, "%s takes %s, not a %s", f, wrong, argument.Type.name())
		return nil
	}
	return &Expr{Call: &Call{Function: f, Argument: argument}, Source: p.source(at), Type: t}
}

// apply is the type that a function yields, or what it would take.
func (f Function) apply(t ExprType) (ExprType, string) {
	switch f {
	case FnFlatten:
		if t.Lists < 2 {
			return t, "a list of lists"
		}
		return ExprType{t.Scalar, t.Lists - 1}, ""
	case FnSetIntersection:
		if t.Scalar != String || t.Lists < 2 {
			return t, "a list of lists of strings"
		}
		return ExprType{String, t.Lists - 1}, ""
	case FnCount:
		if t.Lists < 1 {
			return t, "a list"
		}
	default:
		if t.Scalar != Number || t.Lists < 1 {
			return t, "a list of numbers"
		}
	}
	return ExprType{Number, t.Lists - 1}, ""
}

// path reads what follows "teams".
func (p *exprParser) path(at int) *Expr {
	path := &Path{}
	if !p.expect('[') || !p.teams(path) || !p.expect(']') {
		return nil
	}
	if !p.accept('.') {
		p.fail(p.next, ".players is missing after the teams")
		return nil
	}
	if word, start := p.word(); word != "players" {
		p.fail(start, "players is missing after the teams%s", didYouMean(word, []string{"players"}))
		return nil
	}
	t := ExprType{Lists: 1}
	if path.List {
		t.Lists = 2
	}
	if !p.property(path, &t) {
		return nil
	}
	return &Expr{Path: path, Source: p.source(at), Type: t}
}

// until reads up to a closing bracket or one of some more characters.
func (p *exprParser) until(stop string) (string, int) {
	p.space()
	start := p.next
	for p.next < len(p.text) && p.text[p.next] != ']' && !strings.ContainsRune(stop, p.text[p.next]) {
		p.next++
	}
	return strings.TrimSpace(string(p.text[start:p.next])), start
}

func (p *exprParser) teams(path *Path) bool {
	for {
		name, at := p.until(",")
		if name == "*" {
			path.List = true
			for i := range p.d.slots {
				path.Slots = append(path.Slots, i)
			}
		} else if !p.team(path, name, at) {
			return false
		}
		if !p.accept(',') {
			break
		}
		path.List = true
	}
	slices.Sort(path.Slots)
	if n := len(path.Slots); len(slices.Compact(path.Slots)) < n {
		p.fail(p.next, "a team is named twice")
		return false
	}
	return true
}

// team adds the slots of a team, or the slot of this name.
func (p *exprParser) team(path *Path, name string, at int) bool {
	var found []int
	var known []string
	for i, slot := range p.d.slots {
		team := p.d.def.Teams[slot.Team]
		if team.Name == name || slot.Name == name {
			found = append(found, i)
			path.List = path.List || team.Name == name && team.Quantity > 1
		}
		known = append(known, team.Name, slot.Name)
	}
	if len(found) == 0 {
		p.fail(at, "there is no team %q%s", shorten(name), didYouMean(name, known))
		return false
	}
	path.Slots = append(path.Slots, found...)
	return true
}

func (p *exprParser) property(path *Path, t *ExprType) bool {
	switch {
	case p.accept('['):
		return p.playerID(path, t) && p.expect(']')
	case !p.accept('.'):
		path.Property = Players
		return true
	}
	start := p.next
	word, at := p.word()
	if word == "attributes" {
		return p.attribute(path, t)
	}
	if strings.EqualFold(word, "playerId") {
		p.next = start
		return p.playerID(path, t)
	}
	p.fail(at, "must be attributes[NAME] or playerId%s", didYouMean(word, []string{"attributes", "playerId"}))
	return false
}

func (p *exprParser) playerID(path *Path, t *ExprType) bool {
	word, at := p.word()
	if !strings.EqualFold(word, "playerId") { // the guide has playerid too
		p.fail(at, "must be playerId, not %s", strconv.Quote(word))
		return false
	}
	path.Property = PlayerID
	t.Scalar = String
	return true
}

func (p *exprParser) attribute(path *Path, t *ExprType) bool {
	if !p.expect('[') {
		return false
	}
	name, at := p.until("")
	if !p.expect(']') {
		return false
	}
	a, ok := p.d.def.Attribute(name)
	if !ok {
		p.fail(at, "attribute %q is not declared in playerAttributes%s", shorten(name), didYouMean(name, p.d.def.attributeNames()))
		return false
	}
	path.Property, path.Attribute = PlayerAttribute, name
	switch a.Type {
	case Number, String:
		t.Scalar = a.Type
	case StringList:
		t.Scalar = String
		t.Lists++
	case StringNumberMap:
		p.fail(at, "attribute %q can't be read in an expression: it is a %s", name, a.Type)
		return false
	default: // a type that was reported
		return false
	}
	return true
}
