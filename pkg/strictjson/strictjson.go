// Package strictjson reads small JSON bodies of requests in one way only.
// encoding/json takes the last of several equal members, ignores letter case and
// repairs broken UTF-8, so that somebody who checks the same bytes before could see
// another request. Here all three are errors. Gate and development issuer read with it.
package strictjson

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"sigs.k8s.io/json"
)

var errObject = errors.New("the body must be one JSON object")

// Decode reads exactly one JSON object into a struct. The error is for the sender; it
// names the member that is wrong.
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
		return wrongType(err)
	case err != nil:
		return errObject
	case len(strict) > 0:
		return mistake(strict[0])
	}
	return nil
}

// wrongType cuts the error of a wrong type down to the member and what it must be.
func wrongType(err error) error {
	_, place, ok := strings.Cut(err.Error(), " into Go struct field ")
	member, kind, typed := strings.Cut(place, " of type ")
	if _, after, found := strings.Cut(member, "."); ok && typed && found {
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

func mistake(err error) error {
	var field json.FieldError
	if !errors.As(err, &field) {
		return errObject
	}
	path := field.FieldPath()
	if len(path) > maxName {
		path = path[:maxName] + "…"
	}
	if strings.HasPrefix(err.Error(), "duplicate") {
		return fmt.Errorf("member %q must be there once", path)
	}
	return fmt.Errorf("member %q is unknown", path)
}
