// Package docs checks what the documents say of the tree: that links lead
// somewhere, that the index names each page, and that each file and function
// that a page points at is there.
package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

var (
	link      = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading   = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	code      = regexp.MustCompile("(?s)```.*?```")
	reference = regexp.MustCompile("`((?:[a-z0-9_-]+/)*)([a-z0-9_.-]+\\.(?:go|lua|proto|yaml|sh|json)|)(?::([A-Za-z_][A-Za-z0-9_.]*))?`")
)

// pages returns the text of each document by its path from the root.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	add := func(path string) {
		text, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		all[path] = string(text)
	}
	for _, path := range []string{"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "clients/unreal/README.md", "clients/typescript/README.md"} {
		add(path)
	}
	err := fs.WalkDir(os.DirFS(root), "docs", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".md") {
			add(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// anchors returns the fragments that a page's headings make.
func anchors(text string) map[string]bool {
	all := make(map[string]bool)
	for _, m := range heading.FindAllStringSubmatch(code.ReplaceAllString(text, ""), -1) {
		var b strings.Builder
		for _, r := range strings.ToLower(m[1]) {
			switch {
			case r == ' ':
				b.WriteByte('-')
			case r == '-' || r == '_' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r > 127:
				b.WriteRune(r)
			}
		}
		all[b.String()] = true
	}
	return all
}

func TestLinks(t *testing.T) {
	all := pages(t)
	for page, text := range all {
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(text, ""), -1) {
			target, fragment, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			to := page
			if target != "" {
				to = filepath.Join(filepath.Dir(page), target)
			}
			if _, err := os.Stat(filepath.Join(root, to)); err != nil {
				t.Errorf("%s: %s leads nowhere", page, m[1])
			} else if fragment != "" && !anchors(all[to])[fragment] {
				t.Errorf("%s: %s names no heading", page, m[1])
			}
		}
	}
}

func TestIndexNamesEachPage(t *testing.T) {
	all := pages(t)
	index := make(map[string]bool)
	for _, m := range link.FindAllStringSubmatch(all["docs/README.md"], -1) {
		index[filepath.Join("docs", m[1])] = true
	}
	for page := range all {
		if strings.HasPrefix(page, "docs/") && page != "docs/README.md" && !strings.HasPrefix(page, "docs/decisions/") && !index[page] {
			t.Errorf("docs/README.md does not name %s", page)
		}
	}
}

// TestRuleSetsAreListed: rules.md says of each example what it shows.
func TestRuleSetsAreListed(t *testing.T) {
	text := pages(t)["docs/rules.md"]
	for folder, prefix := range map[string]string{"docs/rulesets": "", "docs/examples/custom": "custom/"} {
		files, err := filepath.Glob(filepath.Join(root, folder, "*.json"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", folder, len(files), err)
		}
		for _, f := range files {
			if name := prefix + filepath.Base(f); !strings.Contains(text, "\n| `"+name+"` ") {
				t.Errorf("docs/rules.md has no row of %s", name)
			}
		}
	}
}

// TestReferences looks for what pages name as `path/file.go:Name`, as `path/file.lua` and as
// `path/`. Name is a function, a type, a variable, a constant, Type.Method or Type.Field.
// Without a path, `file.go:Name` and `file.lua` are in the last one that the page has named.
func TestReferences(t *testing.T) {
	found := 0
	for page, text := range pages(t) {
		past := page == "CHANGELOG.md" || strings.HasPrefix(page, "docs/decisions/")
		last := ""
		for _, m := range reference.FindAllStringSubmatch(text, -1) {
			folder, name := m[1], m[3]
			if folder+m[2] == "" {
				continue // two backticks
			}
			if folder != "" && moduleOf(folder) {
				last = folder
			} else if folder == "" && (name != "" || strings.HasSuffix(m[2], ".lua")) {
				folder = last
			}
			path := folder + m[2]
			if name == "" {
				if _, err := os.Stat(filepath.Join(root, path)); err != nil && moduleOf(folder) && !past {
					t.Errorf("%s: %s is not there", page, path)
				}
				continue
			}
			found++
			names, err := declared(filepath.Join(root, path))
			if err != nil {
				t.Errorf("%s: %v", page, err)
			} else if !names[name] {
				t.Errorf("%s: %s declares no %s", page, path, name)
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d references found: has their form changed?", found)
	}
}

// moduleOf reports whether a path begins with a folder of this repository.
func moduleOf(path string) bool {
	first, _, in := strings.Cut(path, "/")
	if !in {
		return false
	}
	_, err := os.Stat(filepath.Join(root, first))
	return err == nil
}

// declared returns what a file declares: names, Type.Methods and Type.Fields.
func declared(path string) (map[string]bool, error) {
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	names := make(map[string]bool)
	add := func(prefix string, all []*ast.Ident) {
		for _, name := range all {
			names[prefix+name.Name] = true
		}
	}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			names[receiver(d)+d.Name.Name] = true
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.ValueSpec:
					add("", s.Names)
				case *ast.TypeSpec:
					names[s.Name.Name] = true
					for _, field := range fields(s.Type) {
						add(s.Name.Name+".", field.Names)
					}
				}
			}
		}
	}
	return names, nil
}

// fields are those of a struct, or the methods of an interface.
func fields(typ ast.Expr) []*ast.Field {
	switch typ := typ.(type) {
	case *ast.StructType:
		return typ.Fields.List
	case *ast.InterfaceType:
		return typ.Methods.List
	}
	return nil
}

// receiver returns "Type." for a method, else nothing.
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	typ := d.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if index, ok := typ.(*ast.IndexExpr); ok {
		typ = index.X
	}
	if id, ok := typ.(*ast.Ident); ok {
		return id.Name + "."
	}
	return ""
}
