package ruleset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tailscale/hujson"
)

// maxDepth bounds the nesting of the text.
const maxDepth = 32

// The kinds of nodes, named as hujson does.
const (
	isObject = '{'
	isArray  = '['
	isString = '"'
	isNumber = '0'
)

// position is a place in the text, from 1; columns count characters.
type position struct{ line, column int }

// node is a JSON value that knows where it stands. Nodes don't change: a
// stage is made of the nodes of the text and a few new ones.
type node struct {
	at   position
	path string
	kind hujson.Kind
	// text of a string is what it says, of others what is written. written is
	// the string with its escapes and quotes.
	text    string
	written string
	members []member
	items   []*node
}

type member struct {
	name  string
	at    position
	value *node
}

// get returns a member's value, or nil.
func (n *node) get(name string) *node {
	for _, m := range n.members {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// with returns the object with a member set.
func (n *node) with(name string, value *node) *node {
	c := *n
	c.members = slices.Clone(n.members)
	for i := range c.members {
		if c.members[i].name == name {
			c.members[i].value = value
			return &c
		}
	}
	c.members = append(c.members, member{name: name, at: value.at, value: value})
	return &c
}

// withItem returns the array with an element set.
func (n *node) withItem(i int, value *node) *node {
	c := *n
	c.items = slices.Clone(n.items)
	c.items[i] = value
	return &c
}

// inside is the position of a character of a string, counted from 0 in what
// the string says.
func (n *node) inside(character int) position {
	column := n.at.column + 1
	for rest := n.written[1:]; character > 0 && len(rest) > 1; character-- {
		width := escapeWidth(rest)
		column += utf8.RuneCountInString(rest[:width])
		rest = rest[width:]
	}
	return position{n.at.line, column}
}

// escapeWidth is the number of bytes that one character takes at the start of
// a JSON string's inside.
func escapeWidth(s string) int {
	switch {
	case s[0] != '\\':
		_, width := utf8.DecodeRuneInString(s)
		return width
	case s[1] != 'u':
		return 2
	}
	first, err := strconv.ParseUint(s[2:6], 16, 32)
	if err == nil && first >= 0xD800 && first < 0xDC00 && len(s) >= 12 && s[6:8] == `\u` {
		if second, err := strconv.ParseUint(s[8:12], 16, 32); err == nil && second >= 0xDC00 && second < 0xE000 {
			return 12
		}
	}
	return 6
}

func (n *node) json() json.RawMessage {
	var b strings.Builder
	n.write(&b)
	return json.RawMessage(b.String())
}

func (n *node) write(b *strings.Builder) {
	switch n.kind {
	case isObject:
		b.WriteByte('{')
		for i, m := range n.members {
			if i > 0 {
				b.WriteByte(',')
			}
			name, _ := json.Marshal(m.name) // a string always can be
			b.Write(name)
			b.WriteByte(':')
			m.value.write(b)
		}
		b.WriteByte('}')
	case isArray:
		b.WriteByte('[')
		for i, item := range n.items {
			if i > 0 {
				b.WriteByte(',')
			}
			item.write(b)
		}
		b.WriteByte(']')
	case isString:
		b.WriteString(n.written)
	default:
		b.WriteString(n.text)
	}
}

// readTree reads JSON. As FlexMatch's own examples have comments and commas
// after last elements, both may be there.
func readTree(text []byte, errs *problems) *node {
	if !utf8.Valid(text) {
		i := 0
		for {
			r, width := utf8.DecodeRune(text[i:])
			if r == utf8.RuneError && width == 1 {
				break
			}
			i += width
		}
		p := locate(text, i)
		errs.add(Error{Line: p.line, Column: p.column, Message: "is no UTF-8 text"}, "")
		return nil
	}
	if n := utf8.RuneCount(text); n > MaxCharacters {
		errs.add(Error{Line: 1, Column: 1,
			Message: fmt.Sprintf("has %d characters, may have at most %d", n, MaxCharacters)}, "")
		return nil
	}
	// A comment may end with the text; hujson wants a line to end it.
	closed := append(slices.Clip(text), '\n')
	v, err := hujson.Parse(closed)
	if err != nil {
		errs.add(syntaxError(closed, len(text), err), "")
		return nil
	}
	b := treeBuilder{text: text, errs: errs, last: position{1, 1}}
	root := b.build(v, "", 0)
	if b.tooDeep {
		return nil
	}
	return root
}

// syntaxError takes the place out of an error of hujson, which has it in its
// text alone, and in bytes. The place is not behind the end.
func syntaxError(text []byte, end int, err error) Error {
	var line, column int
	if _, scanErr := fmt.Sscanf(err.Error(), "hujson: line %d, column %d:", &line, &column); scanErr != nil {
		line, column = 1, 1
	}
	offset := 0
	for range line - 1 {
		offset += bytes.IndexByte(text[offset:], '\n') + 1
	}
	p := locate(text, min(offset+column-1, end))
	message := err.Error()
	if cause := errors.Unwrap(err); cause != nil {
		message = cause.Error()
	}
	message = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, message)
	return Error{Line: p.line, Column: p.column, Message: "is no JSON: " + shorten(message)}
}

// shorten cuts what a text made too long to read.
func shorten(s string) string {
	const most = 120
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "…"
}

// locate counts lines and characters up to an offset.
func locate(text []byte, offset int) position {
	before := string(text[:offset])
	start := strings.LastIndexByte(before, '\n') + 1
	return position{1 + strings.Count(before, "\n"), 1 + utf8.RuneCountInString(before[start:])}
}

// treeBuilder turns a syntax tree into nodes. Offsets come in rising order, so
// that it counts lines from the last one on.
type treeBuilder struct {
	text    []byte
	errs    *problems
	offset  int
	last    position
	tooDeep bool
}

func (b *treeBuilder) position(offset int) position {
	for b.offset < offset {
		r, width := utf8.DecodeRune(b.text[b.offset:])
		b.offset += width
		b.last.column++
		if r == '\n' {
			b.last = position{b.last.line + 1, 1}
		}
	}
	return b.last
}

func (b *treeBuilder) build(v hujson.Value, path string, depth int) *node {
	n := &node{at: b.position(v.StartOffset), path: path, kind: v.Value.Kind()}
	if depth > maxDepth {
		if !b.tooDeep {
			b.errs.add(Error{Line: n.at.line, Column: n.at.column,
				Message: fmt.Sprintf("is nested deeper than %d levels", maxDepth)}, "")
		}
		b.tooDeep = true
		return n
	}
	switch value := v.Value.(type) {
	case *hujson.Object:
		b.members(n, value, depth)
	case *hujson.Array:
		for i, item := range value.Elements {
			n.items = append(n.items, b.build(item, fmt.Sprintf("%s[%d]", path, i), depth+1))
		}
	case hujson.Literal:
		n.text = value.String()
		n.written = string(value)
	}
	return n
}

var plainName = regexp.MustCompile(`^[\p{L}\p{N}_-]{1,60}$`)

// memberPath is the path of an object's member; a name that isn't plain stands
// in quotes.
func memberPath(path, name string) string {
	switch {
	case !plainName.MatchString(name):
		return fmt.Sprintf("%s[%q]", path, shorten(name))
	case path == "":
		return name
	}
	return path + "." + name
}

func (b *treeBuilder) members(n *node, object *hujson.Object, depth int) {
	seen := make(map[string]bool, len(object.Members))
	for _, m := range object.Members {
		literal, _ := m.Name.Value.(hujson.Literal) // names are strings
		name := literal.String()
		at := b.position(m.Name.StartOffset)
		value := b.build(m.Value, memberPath(n.path, name), depth+1)
		if seen[name] {
			b.errs.add(Error{Line: at.line, Column: at.column, Path: n.path,
				Message: fmt.Sprintf("has the property %q twice", shorten(name))}, "")
			continue
		}
		seen[name] = true
		n.members = append(n.members, member{name: name, at: at, value: value})
	}
}
