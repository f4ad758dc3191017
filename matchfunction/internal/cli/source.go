package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tailscale/hujson"

	"torikumi/matchfunction/internal/search"
	"torikumi/matchfunction/internal/wasm"
	"torikumi/pkg/expression"
	"torikumi/pkg/ruleset"
	"torikumi/pkg/service"
)

// problem is something that is wrong or odd in a file.
type problem struct {
	// Line and Column count from 1; both are 0 for the file as a whole.
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Path    string `json:"path"`
	Rule    string `json:"rule"`
	Message string `json:"message"`
}

// text is the problem as compilers and editors write it.
func (p problem) text(file string) string {
	var b strings.Builder
	b.WriteString(file)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	b.WriteString(": ")
	if p.Path != "" {
		b.WriteString(p.Path)
		if p.Rule != "" {
			fmt.Fprintf(&b, " (rule %q)", p.Rule)
		}
		b.WriteString(": ")
	}
	b.WriteString(p.Message)
	// One line whatever names are in it.
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, b.String())
}

// source is a rule set and its text.
type source struct {
	text   []byte
	tree   hujson.Value
	rules  *ruleset.RuleSet
	engine *search.Engine
	// options are those it was readied with: modules are beside it.
	options search.Options
}

// openSource is readSource for a command that can't go on with problems: it
// prints them, and reports whether there were none.
func openSource(proc service.Process, file string, o search.Options) (*source, bool) {
	s, problems := readSource(file, o)
	for _, p := range problems {
		fmt.Fprintln(proc.Stderr, p.text(file))
	}
	return s, problems == nil
}

// readSource reads and compiles a rule set; the problems are why it can't be.
func readSource(file string, o search.Options) (*source, []problem) {
	text, err := os.ReadFile(file)
	if err != nil {
		var pathErr *os.PathError
		if errors.As(err, &pathErr) {
			err = pathErr.Err
		}
		return nil, []problem{{Message: fmt.Sprintf("can't be read: %v", err)}}
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff")) // as Parse does
	o.Module = wasm.Beside(filepath.Dir(file))
	s := &source{text: text, options: o}
	s.rules, err = ruleset.ParseWith(text, ruleset.Checks{Expression: expression.Check, Custom: o.CheckCustom})
	if err != nil {
		return nil, parseProblems(err)
	}
	// A comment may end with the text; hujson wants a line to end it.
	if s.tree, err = hujson.Parse(append(slices.Clip(text), '\n')); err != nil { // Parse has read it a moment ago
		return nil, []problem{{Message: err.Error()}}
	}
	if s.engine, err = search.Compile(s.rules, o); err != nil {
		return nil, s.compileProblems(err)
	}
	return s, nil
}

func parseProblems(err error) []problem {
	var all ruleset.Errors
	if !errors.As(err, &all) {
		return []problem{{Message: err.Error()}}
	}
	out := make([]problem, len(all))
	for i, e := range all {
		out[i] = problem{e.Line, e.Column, e.Path, e.Rule, e.Message}
	}
	return out
}

// compileText is what search.Compile says of one thing: a path, perhaps the
// rule, and a message.
var compileText = regexp.MustCompile(`(?s)^(\w+(?:\[\d+\])?(?:\.\w+)*)(?: \(rule ("(?:[^"\\]|\\.)*")\))?: (.*)$`)

// compileProblems finds the places of what search.Compile says.
func (s *source) compileProblems(err error) []problem {
	all := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		all = joined.Unwrap()
	}
	out := make([]problem, len(all))
	for i, e := range all {
		m := compileText.FindStringSubmatch(e.Error())
		if m == nil {
			out[i] = s.problem("", "", e.Error())
			continue
		}
		name, _ := strconv.Unquote(m[2]) // empty where there is none
		out[i] = s.problem(m[1], name, m[3])
	}
	return out
}

func (s *source) problem(path, ruleName, message string) problem {
	line, column := s.position(path)
	return problem{line, column, path, ruleName, message}
}

// pointer is a path such as "rules[2].type" as a JSON pointer.
func pointer(path string) string {
	return "/" + strings.NewReplacer("[", "/", "]", "", ".", "/").Replace(path)
}

// position is where the value of a path stands, or the nearest around it.
func (s *source) position(path string) (line, column int) {
	offset := s.tree.StartOffset
	for p := pointer(path); path != "" && p != ""; p = p[:strings.LastIndexByte(p, '/')] {
		if v := s.tree.Find(p); v != nil {
			offset = v.StartOffset
			break
		}
	}
	before := s.text[:offset]
	start := strings.LastIndexByte(string(before), '\n') + 1
	return 1 + strings.Count(string(before), "\n"), 1 + utf8.RuneCount(before[start:])
}
