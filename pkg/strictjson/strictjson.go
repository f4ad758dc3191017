// Package strictjson reads small JSON bodies of requests in one way only.
// encoding/json takes the last of several equal members, ignores letter case and
// repairs broken UTF-8, so that somebody who checks the same bytes before could see
// another request. Here all three are errors. Gate and development issuer read with it.
package strictjson

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"sigs.k8s.io/json"
)

var errObject = errors.New("the body must be one JSON object")

// Decode reads exactly one JSON object into a struct, whose fields have their names in
// tags. The error is for the sender; it names the member that is wrong, and those that there
// are if it is none of them.
func Decode(body []byte, into any) error {
	if !utf8.Valid(body) {
		return errors.New("the body must be UTF-8")
	}
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return errObject
	}
	strict, err := json.UnmarshalStrict(body, into)
	// The type of the error is internal to the library; its text is encoding/json's.
	switch {
	case err != nil && strings.Contains(err.Error(), "cannot unmarshal"):
		return wrongType(err, into)
	case err != nil:
		return errObject
	case len(strict) > 0:
		return mistake(strict[0], into)
	}
	return nil
}

// wrongType cuts the error of a wrong type down to the member and what it must be.
func wrongType(err error, into any) error {
	_, place, ok := strings.Cut(err.Error(), " into Go struct field ")
	member, kind, typed := strings.Cut(place, " of type ")
	if _, after, found := strings.Cut(member, "."); ok && typed && found {
		if t := typeAt(into, after); t != nil && t.Kind() == reflect.Slice && !strings.HasPrefix(kind, "[]") {
			return fmt.Errorf("each element of member %q must be %s", after, name(kind))
		}
		return fmt.Errorf("member %q must be %s", after, name(kind))
	}
	return errObject
}

// name is, with its article, JSON's word for a type of Go.
func name(kind string) string {
	switch {
	case strings.HasPrefix(kind, "[]"):
		return "a list"
	case strings.HasPrefix(kind, "int"), strings.HasPrefix(kind, "uint"), strings.HasPrefix(kind, "float"):
		return "a number"
	case kind == "bool":
		return "a boolean"
	case kind == "string":
		return "a string"
	}
	return "an object"
}

// maxName bounds what is repeated of a sender's own words.
const maxName = 100

func mistake(err error, into any) error {
	var field json.FieldError
	if !errors.As(err, &field) {
		return errObject
	}
	path, object := field.FieldPath(), ""
	if dot := strings.LastIndexByte(path, '.'); dot >= 0 {
		object = path[:dot]
	}
	if len(path) > maxName {
		path = path[:maxName] + "…"
	}
	if strings.HasPrefix(err.Error(), "duplicate") {
		return fmt.Errorf("member %q must be there once", path)
	}
	t := structOf(typeAt(into, object))
	if t == nil { // a dot may be part of a name
		return fmt.Errorf("member %q is unknown", path)
	}
	switch known := members(t); len(known) {
	case 0:
		return fmt.Errorf("member %q is unknown: this object has none", path)
	case 1:
		return fmt.Errorf("member %q is unknown: there is %s", path, known[0])
	default:
		return fmt.Errorf("member %q is unknown: there are %s", path, strings.Join(known, ", "))
	}
}

// typeAt is the type of a member, such as players[0].player of a struct; that of the struct
// itself for an empty path, and nil for what is not there.
func typeAt(into any, path string) reflect.Type {
	t := reflect.TypeOf(into)
	for path != "" {
		var member string
		member, path, _ = strings.Cut(path, ".")
		member, _, _ = strings.Cut(member, "[")
		t = structOf(t)
		if t == nil {
			return nil
		}
		field, ok := t.FieldByNameFunc(func(name string) bool {
			f, _ := t.FieldByName(name)
			return tagOf(f) == member
		})
		if !ok {
			return nil
		}
		t = field.Type
	}
	return t
}

// structOf is the struct that a type is, points to or lists; nil if it is none.
func structOf(t reflect.Type) reflect.Type {
	for t != nil && (t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice) {
		t = t.Elem()
	}
	if t == nil || t.Kind() != reflect.Struct {
		return nil
	}
	return t
}

// members are the names of a struct's fields, in order.
func members(t reflect.Type) (names []string) {
	for _, f := range reflect.VisibleFields(t) {
		if name := tagOf(f); name != "" {
			names = append(names, name)
		}
	}
	return names
}

func tagOf(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}
