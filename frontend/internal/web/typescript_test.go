package web

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what is generated")

// typeScriptFile is the part of the client in TypeScript that is generated.
const typeScriptFile = "../../../clients/typescript/src/api.ts"

// TestTypeScript: the client in TypeScript knows the API as it is.
func TestTypeScript(t *testing.T) {
	var doc document
	if err := json.Unmarshal(get(newTestServer().mux, "GET", "/openapi.json").Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	text := doc.typeScript()
	if *update {
		if err := os.WriteFile(typeScriptFile, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	committed, err := os.ReadFile(typeScriptFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(committed) != text {
		t.Errorf("%s is stale: run make generate, or this test with -update, and commit", typeScriptFile)
	}
}

// document is what a client is generated from.
type document struct {
	Paths      map[string]map[string]operationDoc
	Components struct{ Schemas map[string]*schemaDoc }
}

type operationDoc struct {
	OperationID, Summary string
	Parameters           []struct {
		Name, In string
		Schema   *schemaDoc
	}
	RequestBody *struct{ Content contentDoc }
	Responses   map[string]struct{ Content contentDoc }
}

type contentDoc map[string]struct{ Schema *schemaDoc }

type schemaDoc struct {
	Ref                  string `json:"$ref"`
	Type, Description    string
	Enum, Required       []string
	Properties           map[string]*schemaDoc
	AdditionalProperties json.RawMessage
	Items                *schemaDoc
	MinProperties        int
}

// typeScript writes the types, and a method for each operation whose answer is JSON.
func (d *document) typeScript() string {
	var b strings.Builder
	b.WriteString("// Made of /openapi.json by `make generate`: do not edit.\n")
	for _, name := range slices.Sorted(maps.Keys(d.Components.Schemas)) {
		s := d.Components.Schemas[name]
		b.WriteString("\n")
		if s.Description != "" {
			fmt.Fprintf(&b, "/** %s. */\n", s.Description)
		}
		fmt.Fprintf(&b, "export type %s = %s;\n", name, s.typeScript(""))
	}
	b.WriteString(`
/** What a call sends beside its method and path. */
export interface Sent {
  query?: Record<string, string | number | undefined>;
  headers?: Record<string, string | undefined>;
  body?: unknown;
}

/** The calls that are answered with JSON. */
export abstract class Operations {
  protected abstract call<T>(method: string, path: string, sent?: Sent): Promise<T>;
`)
	for _, path := range slices.Sorted(maps.Keys(d.Paths)) {
		for _, method := range slices.Sorted(maps.Keys(d.Paths[path])) {
			op := d.Paths[path][method]
			op.typeScript(&b, strings.ToUpper(method), path)
		}
	}
	b.WriteString("}\n")
	return b.String()
}

var pathParameter = regexp.MustCompile(`{(\w+)}`)

func (op *operationDoc) typeScript(b *strings.Builder, method, path string) {
	answer := op.Responses["200"].Content["application/json"].Schema
	if answer == nil {
		return
	}
	var params []string
	groups := map[string][]string{}
	for _, p := range op.Parameters {
		if p.In == "path" {
			params = append(params, p.Name+": "+p.Schema.typeScript("  "))
			continue
		}
		groups[p.In] = append(groups[p.In], fmt.Sprintf("%s?: %s", key(p.Name), p.Schema.typeScript("  ")))
	}
	var sent []string
	if op.RequestBody != nil {
		params = append(params, "body: "+op.RequestBody.Content["application/json"].Schema.typeScript("  "))
		sent = append(sent, "body")
	}
	for _, g := range []struct{ in, name string }{{"query", "query"}, {"header", "headers"}} {
		if len(groups[g.in]) > 0 {
			params = append(params, fmt.Sprintf("%s: { %s } = {}", g.name, strings.Join(groups[g.in], "; ")))
			sent = append(sent, g.name)
		}
	}
	at := "`" + pathParameter.ReplaceAllString(path, "${encodeURIComponent($1)}") + "`"
	fmt.Fprintf(b, "\n  /** %s. */\n", op.Summary)
	fmt.Fprintf(b, "  %s(%s): Promise<%s> {\n", op.OperationID, strings.Join(params, ", "), answer.typeScript("  "))
	fmt.Fprintf(b, "    return this.call(%q, %s", method, at)
	if len(sent) > 0 {
		fmt.Fprintf(b, ", { %s }", strings.Join(sent, ", "))
	}
	b.WriteString(");\n  }\n")
}

// typeScript is a schema as a type; indent is that of the line on which it begins.
func (s *schemaDoc) typeScript(indent string) string {
	switch {
	case s.Ref != "":
		return s.Ref[strings.LastIndex(s.Ref, "/")+1:]
	case len(s.Enum) > 0:
		var all []string
		for _, v := range s.Enum {
			all = append(all, strconv.Quote(v))
		}
		return strings.Join(all, " | ")
	}
	switch s.Type {
	case "array":
		return s.Items.typeScript(indent) + "[]"
	case "integer":
		return "number"
	case "object":
		return s.objectType(indent)
	}
	return s.Type
}

func (s *schemaDoc) objectType(indent string) string {
	values := new(schemaDoc)
	if s.Properties == nil && json.Unmarshal(s.AdditionalProperties, values) == nil {
		return "Record<string, " + values.typeScript(indent) + ">"
	}
	names := slices.Sorted(maps.Keys(s.Properties))
	if s.MinProperties == 1 { // one of them
		var all []string
		for _, name := range names {
			all = append(all, fmt.Sprintf("{ %s: %s }", key(name), s.Properties[name].typeScript(indent)))
		}
		return strings.Join(all, " | ")
	}
	if len(names) == 0 {
		return "Record<string, never>"
	}
	out := "{\n"
	for _, name := range names {
		optional := "?"
		if slices.Contains(s.Required, name) {
			optional = ""
		}
		out += fmt.Sprintf("%s  %s%s: %s;\n", indent, key(name), optional, s.Properties[name].typeScript(indent+"  "))
	}
	return out + indent + "}"
}

// key is a name as a member's.
func key(name string) string {
	if regexp.MustCompile(`^[A-Za-z_]\w*$`).MatchString(name) {
		return name
	}
	return strconv.Quote(name)
}
