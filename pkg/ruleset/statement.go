package ruleset

import "unicode"

// maxNesting bounds how deep statements and expressions nest.
const maxNesting = 32

// statementParser reads the statement of a compound rule, such as
// or(and(A, B), not(C)). It stops at the first mistake.
type statementParser struct {
	text []rune
	next int
	// fail reports a mistake at a character.
	fail func(at int, format string, args ...any)
	// resolve finds the position of a rule, and reports one that can't be
	// named.
	resolve func(name string, at int) (int, bool)
}

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

func (p *statementParser) space() {
	for p.next < len(p.text) && unicode.IsSpace(p.text[p.next]) {
		p.next++
	}
}

// take skips a character if it comes next.
func (p *statementParser) take(r rune) bool {
	p.space()
	if p.next < len(p.text) && p.text[p.next] == r {
		p.next++
		return true
	}
	return false
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
	case !p.take('('):
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
		if p.take(',') {
			continue
		}
		if p.take(')') {
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
