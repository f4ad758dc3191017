//go:build unix

package process

import (
	"fmt"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// shell runs a line with the shell's words and variables. The last command of the line
// takes the shell's place, as exec does, so that no shell stands between us and the
// program: "./srv", "FOO=1 ./srv" and "cd x && ./srv" are the server's own process.
// Pipelines, builtins, what runs in the background and lines with functions are left as
// they are.
func shell(line string) ([]string, error) {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangPOSIX)).Parse(strings.NewReader(line), "")
	if err != nil {
		return nil, fmt.Errorf("is no line of the shell: %w", err)
	}
	if len(file.Stmts) == 0 {
		return nil, fmt.Errorf("has no command")
	}
	if at, word := lastCommand(file.Stmts[len(file.Stmts)-1]); word != "" && !has(file, func(*syntax.FuncDecl) bool { return true }) {
		line = line[:at] + word + line[at:]
	}
	return []string{"/bin/sh", "-c", line}, nil
}

// builtins of the shell that a line may end with; none of them is a program to exec.
var builtins = []string{".", ":", "alias", "bg", "break", "cd", "command", "continue", "eval", "exec", "exit", "export", "false", "fg", "hash",
	"jobs", "read", "readonly", "return", "set", "shift", "times", "trap", "true", "type", "ulimit", "umask", "unalias", "unset", "wait"}

// lastCommand returns where the last command of a statement begins and what makes it take
// the shell's place; nothing if that cannot be.
func lastCommand(s *syntax.Stmt) (at uint, word string) {
	if s.Background || s.Negated {
		return 0, ""
	}
	switch c := s.Cmd.(type) {
	case *syntax.BinaryCmd:
		if c.Op == syntax.AndStmt || c.Op == syntax.OrStmt {
			return lastCommand(c.Y)
		}
	case *syntax.CallExpr:
		if len(c.Args) == 0 || slices.Contains(builtins, c.Args[0].Lit()) {
			return 0, ""
		}
		// exec takes no variables for the program alone; env does, but unlike the shell
		// does not show a variable to the next.
		if len(c.Assigns) > 0 {
			if reused(c.Assigns) {
				return 0, ""
			}
			return c.Pos().Offset(), "exec env "
		}
		return c.Pos().Offset(), "exec "
	}
	return 0, ""
}

// reused reports whether the value of a variable names another of the same command.
func reused(all []*syntax.Assign) bool {
	return slices.ContainsFunc(all, func(of *syntax.Assign) bool {
		return has(of, func(e *syntax.ParamExp) bool {
			return e.Param != nil && slices.ContainsFunc(all, func(a *syntax.Assign) bool { return a.Name.Value == e.Param.Value })
		})
	})
}

// has reports whether there is a node of a kind in another.
func has[Kind syntax.Node](in syntax.Node, is func(Kind) bool) (found bool) {
	syntax.Walk(in, func(n syntax.Node) bool {
		of, ok := n.(Kind)
		found = found || ok && is(of)
		return !found
	})
	return found
}
