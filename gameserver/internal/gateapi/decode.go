package gateapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// decode reads exactly one JSON object into v. Unknown members are errors: a
// misspelt one would otherwise be a silent loss.
func decode(body []byte, v any) error {
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return errors.New("the body must be one JSON object")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong):
		return errors.New("member " + wrong.Field + " must be a " + wrong.Type.String())
	case err != nil && strings.HasPrefix(err.Error(), "json: unknown field"):
		return errors.New("the body has an unknown member")
	case err != nil:
		return errors.New("the body must be one JSON object")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("the body must be one JSON object and nothing else")
	}
	return nil
}
