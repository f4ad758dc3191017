package web

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"torikumi/frontend/internal/api"
	"torikumi/pkg/problem"
)

// readBody reads the whole body before anything else happens, so that one that
// is too large gets its own answer, and a slow one holds nothing but its
// connection, for as long as the server lets it ([service.Options]).
func readBody(w http.ResponseWriter, r *http.Request) error {
	if r.ContentLength == 0 {
		return nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	var large *http.MaxBytesError
	switch {
	case err == nil:
		r.Body = io.NopCloser(bytes.NewReader(body))
		return nil
	case errors.As(err, &large):
		err = refuse(http.StatusRequestEntityTooLarge, "the body must have at most 16384 bytes")
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = refuse(http.StatusRequestTimeout, "the body came too slowly")
	default:
		err = refuse(http.StatusBadRequest, "the body could not be read", problem.Field{Field: "body", Rule: "must be sent to its end"})
	}
	w.Header().Set("Connection", "close") // what is left of the body is not read
	return err
}

const (
	// maxFaults bounds the answer to rubbish.
	maxFaults = 20
	// maxPath is the most bytes of a client's own words in a path.
	maxPath = 256
)

// decode reads exactly one JSON object without unknown or repeated fields; an
// empty body is an empty object. The error names all fields that are wrong, and shows
// the example, which is a right one.
func decode[M proto.Message](r *http.Request, m M, example func() M) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	kinds := r.Header.Values("Content-Type")
	if len(kinds) > 1 { // readers of one and of the other would not read the same
		return refuse(http.StatusUnsupportedMediaType, "the body must have one type: Content-Type: application/json",
			problem.Field{Field: "Content-Type", Rule: "must be given once"})
	}
	if len(body) > 0 && len(kinds) == 1 && !isJSON(kinds[0]) {
		return refuse(http.StatusUnsupportedMediaType, "the body must be JSON, with Content-Type: application/json",
			problem.Field{Field: "Content-Type", Rule: "must be application/json"})
	}
	if len(body) == 0 {
		return nil // the rules say what is missing
	}
	if err := protojson.Unmarshal(body, m); err != nil {
		// Why is found out anew: the library's errors are for people.
		return refuse(http.StatusBadRequest, "the body cannot be read; a right one is "+string(exampleJSON(example())), faults(body, m.ProtoReflect().Descriptor())...)
	}
	if proto.Size(m) > MaxBody {
		return refuse(http.StatusRequestEntityTooLarge, "the body is too large") // it would be so over gRPC
	}
	return nil
}

// exampleJSON writes a right body.
func exampleJSON(m proto.Message) json.RawMessage {
	// Neither can fail: examples are valid messages.
	spaced, _ := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	var b bytes.Buffer
	_ = json.Compact(&b, spaced) // the library puts spaces now here, now there
	return b.Bytes()
}

// isJSON reports whether a body may be JSON by its type. Clients that set none
// are taken at their word, and so is curl, whose -d says that it is a form.
func isJSON(contentType string) bool {
	if contentType == "" {
		return true
	}
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json") || kind == "application/x-www-form-urlencoded")
}

// faults says what keeps a body from being a message, each by the path of its
// field.
func faults(body []byte, root protoreflect.MessageDescriptor) []problem.Field {
	c := &checker{root: root}
	if utf8.Valid(body) && json.Valid(body) {
		c.message("", body, root)
	}
	if len(c.found) == 0 {
		c.add("body", "must be one JSON object as the API describes it, in UTF-8")
	}
	return c.found
}

// checker walks through a JSON value beside the description of its message.
type checker struct {
	root  protoreflect.MessageDescriptor
	found []problem.Field
}

func (c *checker) add(path, rule string) {
	if len(c.found) < maxFaults {
		c.found = append(c.found, problem.Field{Field: short(path), Rule: rule})
	}
}

// member is the path of a member; a name that is empty is seen.
func member(path, name string) string { return path + "." + cmp.Or(name, `""`) }

func (c *checker) message(path string, raw json.RawMessage, md protoreflect.MessageDescriptor) {
	fields, seen := md.Fields(), map[protoreflect.Descriptor]bool{}
	ok := members(raw, func(name string, value json.RawMessage) {
		at := strings.TrimPrefix(member(path, name), ".")
		fd := fields.ByTextName(name)
		if fd == nil {
			fd = fields.ByJSONName(name)
		}
		switch {
		case name == "":
			c.add(cmp.Or(path, "body"), "must not have a field with an empty name; known are "+api.FieldNames(md))
		case fd == nil:
			c.add(at, "unknown field"+c.hint(name, md))
		case seen[fd]:
			c.add(at, "must be given once")
		case fd.ContainingOneof() != nil && seen[fd.ContainingOneof()] && string(value) != "null":
			c.add(path, "must have only one of "+api.FieldNames(md))
		default:
			c.field(at, value, fd)
		}
		if fd != nil {
			seen[fd] = true
			if one := fd.ContainingOneof(); one != nil && string(value) != "null" {
				seen[one] = true
			}
		}
	})
	if !ok {
		rule := "must be an object with "
		if md.Oneofs().Len() > 0 {
			rule += "one of "
		}
		c.add(cmp.Or(path, "body"), rule+api.FieldNames(md))
	}
}

func (c *checker) field(path string, raw json.RawMessage, fd protoreflect.FieldDescriptor) {
	switch {
	case string(raw) == "null": // as if it were not there
	case fd.IsMap():
		seen := map[string]bool{}
		if !members(raw, func(name string, value json.RawMessage) {
			if seen[name] {
				c.add(member(path, name), "must be given once")
			}
			seen[name] = true
			c.value(member(path, name), value, fd.MapValue())
		}) {
			c.add(path, "must be an object")
		}
	case fd.IsList():
		var list []json.RawMessage
		if json.Unmarshal(raw, &list) != nil {
			c.add(path, "must be a list")
		}
		for i, value := range list {
			c.value(fmt.Sprintf("%s[%d]", path, i), value, fd)
		}
	default:
		c.value(path, raw, fd)
	}
}

func (c *checker) value(path string, raw json.RawMessage, fd protoreflect.FieldDescriptor) {
	if fd.Message() != nil {
		c.message(path, raw, fd.Message())
		return
	}
	// A message with this field alone says whether the value is right.
	one := `{"` + string(fd.Name()) + `":` + string(raw) + `}`
	if fd.IsList() {
		one = `{"` + string(fd.Name()) + `":[` + string(raw) + `]}`
	}
	if string(raw) != "null" && protojson.Unmarshal([]byte(one), dynamicpb.NewMessage(fd.ContainingMessage())) == nil {
		return
	}
	switch fd.Kind() {
	case protoreflect.StringKind:
		c.add(path, "must be a string")
	case protoreflect.DoubleKind:
		c.add(path, "must be a number")
	case protoreflect.Int32Kind:
		c.add(path, "must be a whole number")
	default:
		c.add(path, "wrong type or value")
	}
}

// hint says what an unknown field may have been meant to be.
func (c *checker) hint(name string, md protoreflect.MessageDescriptor) string {
	for i := range md.Fields().Len() {
		if known := string(md.Fields().Get(i).Name()); strings.EqualFold(strings.ReplaceAll(known, "_", ""), strings.ReplaceAll(name, "_", "")) {
			return "; did you mean " + known + "?"
		}
	}
	for i := range c.root.Fields().Len() {
		if fd := c.root.Fields().Get(i); fd.IsList() && fd.Message() != nil && fd.Message().Fields().ByTextName(name) != nil {
			return fmt.Sprintf("; did you mean %s[0].%s?", fd.Name(), name)
		}
	}
	return "; known are " + api.FieldNames(md)
}

// members calls f for each member of an object, in order; it is false if the
// value is something else.
func members(raw json.RawMessage, f func(name string, value json.RawMessage)) bool {
	d := json.NewDecoder(bytes.NewReader(raw))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return false
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return false
		}
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return false
		}
		f(fmt.Sprint(name), value)
	}
	return true
}
