package ruleset

import (
	"slices"
	"unicode"
)

// maxNesting bounds how deep statements and expressions nest.
const maxNesting = 32

// scanner goes through the text of a node, for the parsers of statements and
// expressions.
type scanner struct {
	d    *decoder
	n    *node
	text []rune
	next int
}

// fail reports a mistake at a character.
func (s *scanner) fail(at int, format string, args ...any) {
	s.d.failAt(s.n.inside(at), s.n.path, format, args...)
}

func (s *scanner) space() {
	for s.next < len(s.text) && unicode.IsSpace(s.text[s.next]) {
		s.next++
	}
}

// accept skips a character if it comes next.
func (s *scanner) accept(r rune) bool {
	s.space()
	if s.next < len(s.text) && s.text[s.next] == r {
		s.next++
		return true
	}
	return false
}

// statementParser reads the statement of a compound rule, such as
// or(and(A, B), not(C)). It stops at the first mistake.
type statementParser struct{ scanner }

var connectives = []string{string(And), string(Or), string(Not), string(Xor)}

// parse returns nil after a mistake.
func (p *statementParser) parse() *Statement {
	s := p.statement(0)
	if s == nil {
		return nil
	}
	if p.space(); p.next < len(p.text) {
		p.fail(p.next, "unexpected %q after the statement", p.text[p.next])
		return nil
	}
	return s
}

// word reads a rule's name or a connective: all up to a comma or a
// parenthesis, so that names may have spaces inside.
func (p *statementParser) word() (string, int) {
	p.space()
	start := p.next
	for p.next < len(p.text) && p.text[p.next] != ',' && p.text[p.next] != '(' && p.text[p.next] != ')' {
		p.next++
	}
	end := p.next
	for end > start && unicode.IsSpace(p.text[end-1]) {
		end--
	}
	return string(p.text[start:end]), start
}

func (p *statementParser) statement(depth int) *Statement {
	word, at := p.word()
	switch {
	case word == "":
		p.fail(at, "a rule's name or one of and(…), or(…), not(…), xor(…) is missing")
		return nil
	case depth > maxNesting:
		p.fail(at, "is nested deeper than %d levels", maxNesting)
		return nil
	case !p.accept('('):
		i, ok := p.resolve(word, at)
		if !ok {
			return nil
		}
		return &Statement{Rule: i}
	}
	s := &Statement{Connective: Connective(word)}
	switch s.Connective {
	case And, Or, Not, Xor:
	default:
		p.fail(at, "%q is none of and, or, not, xor%s", shorten(word), didYouMean(word, connectives))
		return nil
	}
	return p.parts(s, at, depth)
}

func (p *statementParser) parts(s *Statement, at, depth int) *Statement {
	for {
		part := p.statement(depth + 1)
		if part == nil {
			return nil
		}
		s.Parts = append(s.Parts, part)
		if p.accept(',') {
			continue
		}
		if p.accept(')') {
			break
		}
		p.fail(p.next, "a comma or a closing parenthesis of %s( is missing", s.Connective)
		return nil
	}
	switch {
	case s.Connective == Not && len(s.Parts) != 1:
		p.fail(at, "not(…) takes one part, not %d", len(s.Parts))
		return nil
	case s.Connective != Not && len(s.Parts) < 2:
		p.fail(at, "%s(…) takes at least two parts", s.Connective)
		return nil
	}
	return s
}

// resolve finds the position of a rule, and reports one that can't be named.
func (p *statementParser) resolve(name string, at int) (int, bool) {
	rules := p.d.def.Rules
	i := slices.IndexFunc(rules, func(r Rule) bool { return r.Name == name })
	if i < 0 {
		p.fail(at, "there is no rule %q above this one%s", shorten(name), didYouMean(name, names(rules, func(r Rule) string { return r.Name })))
		return 0, false
	}
	if kind := rules[i].Kind; kind != "" && !kind.info().nameable { // one without a type is reported there
		p.fail(at, "rule %q is %s, which a compound rule can't name", name, kind.name())
		return 0, false
	}
	return i, true
}
