package ruleset

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"torikumi/pkg/suggest"
)

// decoder makes the definition of one stage out of a tree.
type decoder struct {
	errs   *problems
	checks *checked
	// after is the wait of the stage.
	after time.Duration
	// changed reports whether the stage may be another than the text itself.
	changed bool
	def     *Definition
	// slots are those of def, once the teams are known.
	slots []TeamSlot
	// players is how many the largest match has.
	players int
	// rule is the name of the rule that is being read.
	rule string
}

// fail reports what is wrong with a value.
func (d *decoder) fail(n *node, format string, args ...any) {
	d.failAt(n.at, n.path, format, args...)
}

func (d *decoder) failAt(at position, path, format string, args ...any) {
	note := ""
	if d.changed && !strings.HasPrefix(path, "expansions") {
		note = fmt.Sprintf(" (from a wait of %d s on)", d.after/time.Second)
	}
	d.errs.add(Error{Line: at.line, Column: at.column, Path: path, Rule: d.rule, Message: fmt.Sprintf(format, args...)}, note)
}

// object checks that a value is an object with no properties but the known.
func (d *decoder) object(n *node, known []string) bool {
	if n.kind != isObject {
		d.fail(n, "must be an object, not %s", n.describe())
		return false
	}
	for _, m := range n.members {
		if !slices.Contains(known, m.name) {
			d.failAt(m.at, n.path, "unknown property %q%s", shorten(m.name), didYouMean(m.name, known))
		}
	}
	return true
}

// array returns the elements of a list, or none.
func (d *decoder) array(n *node) []*node {
	if n.kind != isArray {
		d.fail(n, "must be a list, not %s", n.describe())
		return nil
	}
	return n.items
}

// some returns the elements of a list that has to have any.
func (d *decoder) some(n *node, what string) []*node {
	items := d.array(n)
	if n.kind == isArray && len(items) == 0 {
		d.fail(n, "must have at least one %s", what)
	}
	return items
}

// need returns a property that has to be there, or nil.
func (d *decoder) need(n *node, name string) *node {
	v := n.get(name)
	if v == nil {
		d.fail(n, "%s is missing", name)
	}
	return v
}

// text reads a string; a nil node is an empty one that was reported.
func (d *decoder) text(n *node) (string, bool) {
	if n == nil {
		return "", false
	}
	if n.kind != isString {
		d.fail(n, "must be a string, not %s", n.describe())
		return "", false
	}
	return n.text, true
}

// name reads the name of something. The characters in forbidden would make it
// impossible to refer to it.
func (d *decoder) name(n *node, forbidden string) (string, bool) {
	s, ok := d.text(n)
	switch {
	case !ok:
		return "", false
	case s == "":
		d.fail(n, "must not be empty")
	case strings.TrimSpace(s) != s:
		d.fail(n, "must not start or end with a space")
	case strings.ContainsFunc(s, unicode.IsControl):
		d.fail(n, "must not have control characters")
	case strings.ContainsAny(s, forbidden):
		d.fail(n, "must not have any of the characters %s", strings.Join(strings.Split(forbidden, ""), " "))
	default:
		return s, true
	}
	return "", false
}

// ValidName reports whether a name of an attribute or of a team can be sent: in
// tickets, and in join tokens.
func ValidName(name string) bool { return validName.MatchString(name) }

// What ValidName asks for, as a regular expression and in words.
const (
	NamePattern = `^[A-Za-z0-9_.-]([A-Za-z0-9_. -]{0,62}[A-Za-z0-9_.-])?$`
	NameRule    = "must have 1 to 64 characters of [A-Za-z0-9_.-], with spaces between them"
)

var validName = regexp.MustCompile(NamePattern)

// sendable reads a name that players or game servers hear of.
func (d *decoder) sendable(n *node, forbidden string) (string, bool) {
	name, ok := d.name(n, forbidden)
	if ok && !ValidName(name) {
		d.fail(n, "%s, got %q", NameRule, shorten(name)) // and it is a name all the same for those who refer to it
	}
	return name, ok
}

func choice[T ~string](d *decoder, n *node, choices ...T) T {
	s, ok := d.text(n)
	if !ok {
		return ""
	}
	if slices.Contains(choices, T(s)) {
		return T(s)
	}
	hint := ""
	if len(choices) > 1 {
		hint = didYouMean(s, names(choices, func(c T) string { return string(c) }))
	}
	d.fail(n, "must be %s, not %q%s", oneOf(choices, func(c T) string { return strconv.Quote(string(c)) }), shorten(s), hint)
	return ""
}

// choiceOr reads a property that is one of some strings, if it is there.
func choiceOr[T ~string](d *decoder, n *node, name string, otherwise T, choices ...T) T {
	if v := n.get(name); v != nil {
		return choice(d, v, choices...)
	}
	return otherwise
}

func names[T any](of []T, name func(T) string) []string {
	out := make([]string, len(of))
	for i, x := range of {
		out[i] = name(x)
	}
	return out
}

// numberText is a number of JSON, which FlexMatch also writes as a string.
var numberText = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

func (d *decoder) number(n *node) (float64, bool) {
	if n == nil {
		return 0, false
	}
	if n.kind != isNumber && (n.kind != isString || !numberText.MatchString(n.text)) {
		d.fail(n, "must be a number, not %s", n.describe())
		return 0, false
	}
	f, err := strconv.ParseFloat(n.text, 64)
	if err != nil || math.IsInf(f, 0) {
		d.fail(n, "must be a finite number, %s is too large", shorten(n.text))
		return 0, false
	}
	if f == 0 {
		f = 0 // no negative zero
	}
	return f, true
}

// amount reads a number that can't be negative, or nil.
func (d *decoder) amount(n *node) *float64 {
	f, ok := d.number(n)
	if !ok {
		return nil
	}
	if f < 0 {
		d.fail(n, "must be at least 0, not %s", shorten(n.text))
		return nil
	}
	return &f
}

// whole reads a whole number from low to high.
func (d *decoder) whole(n *node, low, high int) (int, bool) {
	f, ok := d.number(n)
	if !ok {
		return 0, false
	}
	if f != math.Trunc(f) {
		d.fail(n, "must be a whole number, not %s", shorten(n.text))
		return 0, false
	}
	if f < float64(low) || f > float64(high) {
		d.fail(n, "must be from %d to %d, not %s", low, high, shorten(n.text))
		return 0, false
	}
	return int(f), true
}

func (d *decoder) seconds(n *node, low int) (time.Duration, bool) {
	s, ok := d.whole(n, low, maxWaitSeconds)
	return time.Duration(s) * time.Second, ok
}

// describe names a value for those who expected another.
func (n *node) describe() string {
	switch n.kind {
	case isObject:
		return "an object"
	case isArray:
		return "a list"
	case isString:
		return fmt.Sprintf("the string %q", shorten(n.text))
	case isNumber:
		return "the number " + shorten(n.text)
	default:
		return n.text
	}
}

// oneOf lists alternatives.
func oneOf[T any](of []T, name func(T) string) string {
	var b strings.Builder
	for i, x := range of {
		switch {
		case i > 0 && i == len(of)-1:
			b.WriteString(" or ")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(name(x))
	}
	return b.String()
}

// didYouMean is a hint for a name that is nearly one of the known.
func didYouMean(name string, known []string) string {
	if best := suggest.Nearest(name, known); best != "" {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	return ""
}

// whichTeam is the hint for the name of no team: those of a quantity are
// meant all together where teams are changed or listed.
func whichTeam(name string, known []string) string {
	if i := strings.LastIndexByte(name, '_'); i > 0 && slices.Contains(known, name[:i]) {
		return fmt.Sprintf("; all of its quantity are %q", name[:i])
	}
	return didYouMean(name, known)
}
