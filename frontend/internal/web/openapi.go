package web

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"torikumi/frontend/internal/api"
)

// object is a JSON object of the OpenAPI document.
type object = map[string]any

// openAPI writes the OpenAPI 3.1 document of the routes: their messages from the
// protocol, with the limits that the service checks.
func openAPI(routes []route) []byte {
	text := object{"type": "string"}
	schemas := object{"Problem": object{
		"description": "Problem details (RFC 9457)", "type": "object", "required": []string{"type", "title", "status"},
		"properties": object{
			"type": text, "title": text, "status": object{"type": "integer"}, "detail": text, "reason": text, "ticket_id": text,
			"errors": object{"type": "array", "items": object{"type": "object", "properties": object{"field": text, "rule": text}}},
		},
	}}
	paths := object{}
	for _, rt := range routes {
		if paths[rt.path] == nil {
			paths[rt.path] = object{}
		}
		paths[rt.path].(object)[strings.ToLower(rt.method)] = operation(rt, schemas)
	}
	document, _ := json.Marshal(object{ // cannot fail: it has nothing but texts and numbers
		"openapi": "3.1.0", "info": object{
			"title": "Torikumi, the players' API", "version": "1",
			"description": "Bodies may also be what protobuf's JSON allows besides the schemas: null for what is left out, numbers as texts, and names in lowerCamelCase.",
		},
		"paths": paths, "security": []object{{"player": []string{}}},
		"components": object{"schemas": schemas, "securitySchemes": object{
			"player": object{"type": "http", "scheme": "bearer", "description": "A player token"},
		}},
	})
	return document
}

var wildcard = regexp.MustCompile(`{(\w+)}`)

func operation(rt route, schemas object) object {
	params := []object{}
	for _, m := range wildcard.FindAllStringSubmatch(rt.path, -1) {
		schema := rt.inPath[m[1]]
		if schema == nil {
			schema = object{"type": "string", "minLength": 1}
		}
		params = append(params, object{"name": m[1], "in": "path", "required": true, "schema": schema})
	}
	for _, group := range []struct {
		in     string
		params map[string]object
	}{{"query", rt.query}, {"header", rt.header}} {
		for _, name := range slices.Sorted(maps.Keys(group.params)) {
			params = append(params, object{"name": name, "in": group.in, "schema": group.params[name]})
		}
	}
	answers := object{"default": object{
		"description": "A problem", "content": object{"application/problem+json": object{"schema": object{"$ref": "#/components/schemas/Problem"}}},
	}}
	maps.Copy(answers, rt.answers)
	if rt.response != nil {
		schema := reference(rt.response.ProtoReflect().Descriptor(), schemas)
		answers["200"] = object{"description": "OK", "content": object{"application/json": object{"schema": schema}}}
	}
	out := object{"operationId": rt.operation, "summary": rt.summary, "parameters": params, "responses": answers}
	if rt.public {
		out["security"] = []object{}
	}
	if rt.request != nil {
		out["requestBody"] = object{"required": true, "description": "At most 16384 bytes.", "content": object{
			"application/json": object{"schema": reference(rt.request.ProtoReflect().Descriptor(), schemas), "example": exampleJSON(rt.request)},
		}}
	}
	return out
}

// answered are the fields that messages of answers always have; JSON leaves others out
// that are empty.
var answered = map[string][]string{
	"Ticket":    {"id", "queue", "state", "players", "create_time", "update_time"},
	"Server":    {"ip", "connection"},
	"JoinToken": {"jwt", "expire_time"},
	"Party":     {"leader", "size"},
	"Region":    {"name"},
}

// reference returns a reference to the schema of a message, which it adds if it
// is not there yet.
func reference(md protoreflect.MessageDescriptor, schemas object) object {
	if md.FullName() == "google.protobuf.Timestamp" {
		return object{"type": "string", "format": "date-time"}
	}
	name := string(md.Name())
	if schemas[name] == nil {
		properties, required := object{}, []string{}
		out := object{"type": "object", "properties": properties, "additionalProperties": false}
		schemas[name] = out // now, for messages that hold themselves
		for i := range md.Fields().Len() {
			fd := md.Fields().Get(i)
			properties[string(fd.Name())] = fieldSchema(fd, schemas)
			if api.LimitOf(fd.FullName()).Required || slices.Contains(answered[name], string(fd.Name())) {
				required = append(required, string(fd.Name()))
			}
		}
		if md.Oneofs().Len() > 0 {
			out["minProperties"], out["maxProperties"] = 1, 1
		}
		out["required"] = required
		if names := api.OneOf(md.FullName()); names != nil {
			out["anyOf"] = notEmpty(md, names)
		}
	}
	return object{"$ref": "#/components/schemas/" + name}
}

// notEmpty are the schemas of which one holds if one of the fields, lists and numbers, is there.
func notEmpty(md protoreflect.MessageDescriptor, names []string) []object {
	var all []object
	for _, name := range names {
		least := object{"minimum": 1}
		if md.Fields().ByTextName(name).IsList() {
			least = object{"minItems": 1}
		}
		all = append(all, object{"required": []string{name}, "properties": object{name: least}})
	}
	return all
}

func fieldSchema(fd protoreflect.FieldDescriptor, schemas object) object {
	l := api.LimitOf(fd.FullName())
	set := func(s object, name string, value any, given bool) object {
		if given {
			s[name] = value
		}
		return s
	}
	switch {
	case fd.IsMap():
		out := object{"type": "object", "additionalProperties": valueSchema(fd.MapValue(), l, schemas)}
		set(out, "propertyNames", object{"pattern": l.Pattern}, l.Pattern != "")
		return set(out, "maxProperties", l.Entries, l.Entries > 0)
	case fd.IsList():
		item := set(valueSchema(fd, l, schemas), "pattern", l.Pattern, l.Pattern != "")
		list := set(object{"type": "array", "items": item}, "uniqueItems", true, l.Unique)
		return set(list, "maxItems", l.Entries, l.Entries > 0)
	}
	out := valueSchema(fd, l, schemas)
	if fd.Kind() == protoreflect.Int32Kind && l.Min > 0 { // zero is as if it were not there
		delete(out, "minimum")
		out["anyOf"] = []object{{"const": 0}, {"minimum": l.Min}}
	}
	pattern := l.Pattern
	if !l.Required { // so is an empty text
		pattern = "^$|" + pattern
	}
	set(out, "minLength", 1, l.Required)
	return set(out, "pattern", pattern, l.Pattern != "")
}

func valueSchema(fd protoreflect.FieldDescriptor, l api.Limit, schemas object) object {
	switch fd.Kind() {
	case protoreflect.MessageKind:
		return reference(fd.Message(), schemas)
	case protoreflect.EnumKind:
		var values []protoreflect.Name
		for i := 1; i < fd.Enum().Values().Len(); i++ { // the first is "unspecified"
			values = append(values, fd.Enum().Values().Get(i).Name())
		}
		return object{"type": "string", "enum": values}
	case protoreflect.DoubleKind:
		return object{"type": "number", "format": "double"} // none that is too large for it
	case protoreflect.Int32Kind:
		if l.Max > 0 {
			return object{"type": "integer", "minimum": l.Min, "maximum": l.Max}
		}
		return object{"type": "integer"}
	}
	if l.Length > 0 {
		return object{"type": "string", "maxLength": l.Length}
	}
	return object{"type": "string"}
}
