package queues

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// checkFields says which fields of the text do not exist or have the wrong type,
// each with its line, its path and its queue. What is no YAML at all is left to
// the decoder, as is what only it can tell.
func checkFields(b []byte) error {
	var document yaml.Node
	if yaml.Unmarshal(b, &document) != nil || len(document.Content) == 0 {
		return nil
	}
	var f fields
	f.check(document.Content[0], reflect.TypeFor[Set](), "")
	return errors.Join(f.errs...)
}

// fields compares a text with the types that it is decoded into.
type fields struct {
	queue string
	errs  []error
}

func (f *fields) bad(n *yaml.Node, path, format string, args ...any) {
	of := ""
	if f.queue != "" {
		of = fmt.Sprintf(" (queue %q)", f.queue)
	}
	if path == "" {
		path = "the file"
	}
	f.errs = append(f.errs, fmt.Errorf("line %d: %s%s: %s", n.Line, path, of, fmt.Sprintf(format, args...)))
}

func (f *fields) check(n *yaml.Node, t reflect.Type, path string) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	_, text := reflect.New(t).Interface().(encoding.TextUnmarshaler)
	switch {
	case n.Tag == "!!null":
	case text || t.Kind() != reflect.Struct && t.Kind() != reflect.Slice && t.Kind() != reflect.Map:
		f.scalar(n, t, path)
	case t.Kind() == reflect.Slice && n.Kind == yaml.SequenceNode:
		for i, item := range n.Content {
			f.check(item, t.Elem(), fmt.Sprintf("%s[%d]", path, i))
		}
	case t.Kind() == reflect.Slice:
		f.bad(n, path, "must be a list")
	case n.Kind != yaml.MappingNode:
		f.bad(n, path, "must have fields, written as \"name: value\"")
	case t.Kind() == reflect.Map:
		for i := 1; i < len(n.Content); i += 2 {
			f.check(n.Content[i], t.Elem(), path+"."+n.Content[i-1].Value)
		}
	default:
		f.object(n, t, path)
	}
}

func (f *fields) object(n *yaml.Node, t reflect.Type, path string) {
	if t == reflect.TypeFor[Queue]() {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == "name" {
				f.queue = n.Content[i+1].Value
			}
		}
		defer func() { f.queue = "" }()
	}
	known := make(map[string]reflect.Type)
	var names []string
	for _, field := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" && name != "-" {
			known[name] = field.Type
			names = append(names, name)
		}
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		inner := strings.TrimPrefix(path+"."+key.Value, ".")
		if of, ok := known[key.Value]; ok {
			f.check(value, of, inner)
		} else if key.Tag != "!!merge" {
			f.bad(key, inner, "there is no such field, there are %s", strings.Join(names, ", "))
		}
	}
}

// scalar looks at numbers: anything can be a string.
func (f *fields) scalar(n *yaml.Node, t reflect.Type, path string) {
	number, x := n.Tag == "!!int" || n.Tag == "!!float", 0.0
	switch {
	case n.Kind != yaml.ScalarNode:
		f.bad(n, path, "must be one value")
	case t.Kind() == reflect.Int32 && (!number || n.Decode(&x) != nil || x != math.Trunc(x) || math.Abs(x) > math.MaxInt32):
		f.bad(n, path, "must be a whole number, got %q", n.Value)
	case t == reflect.TypeFor[Quantity]():
		if _, err := parseQuantity(n.Value); err != nil {
			f.bad(n, path, "%v", err)
		}
	case t.Kind() == reflect.Float64 && !number:
		f.bad(n, path, "must be a number, got %q", n.Value)
	case t == reflect.TypeFor[Duration]():
		if err := new(Duration).UnmarshalText([]byte(n.Value)); err != nil {
			f.bad(n, path, "%v", err)
		}
	}
}
