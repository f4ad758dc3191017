package frontend_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"torikumi/frontend/internal/api"
)

// schema is a JSON Schema, with the keywords that /openapi.json uses.
type schema map[string]any

// openAPI is what the tests read of /openapi.json.
type openAPI struct {
	Paths map[string]map[string]struct {
		Parameters []struct {
			Name, In string
			Schema   schema
		}
		RequestBody struct {
			Content map[string]struct{ Schema schema }
		}
	}
	Components struct{ Schemas map[string]schema }
}

// fits reports whether a value is as a schema says. A keyword that it does not know fails the
// test.
func (d *openAPI) fits(t *testing.T, s schema, v any) bool {
	t.Helper()
	ok := true
	for keyword, want := range s {
		ok = d.keyword(t, s, keyword, want, v) && ok
	}
	return ok
}

func (d *openAPI) keyword(t *testing.T, s schema, keyword string, want, v any) bool {
	t.Helper()
	number, isNumber := v.(float64)
	text, isText := v.(string)
	list, isList := v.([]any)
	members, isObject := v.(map[string]any)
	length := float64(utf8.RuneCountInString(text))
	switch keyword {
	case "description", "format", "default":
		return true
	case "$ref":
		return d.fits(t, d.Components.Schemas[strings.TrimPrefix(want.(string), "#/components/schemas/")], v)
	case "type":
		return map[any]bool{
			"string": isText, "number": isNumber, "integer": isNumber && number == float64(int64(number)), "array": isList, "object": isObject,
		}[want]
	case "const":
		return reflect.DeepEqual(v, want)
	case "anyOf":
		return slices.ContainsFunc(want.([]any), func(one any) bool { return d.fits(t, one.(map[string]any), v) })
	case "minimum":
		return !isNumber || number >= want.(float64)
	case "maximum":
		return !isNumber || number <= want.(float64)
	case "minLength":
		return !isText || length >= want.(float64)
	case "maxLength":
		return !isText || length <= want.(float64)
	case "pattern":
		return !isText || regexp.MustCompile(want.(string)).MatchString(text)
	case "minItems":
		return !isList || float64(len(list)) >= want.(float64)
	case "maxItems":
		return !isList || float64(len(list)) <= want.(float64)
	case "uniqueItems":
		for i := range list {
			if slices.ContainsFunc(list[:i], func(other any) bool { return reflect.DeepEqual(other, list[i]) }) {
				return false
			}
		}
		return true
	case "items":
		return !slices.ContainsFunc(list, func(item any) bool { return !d.fits(t, want.(map[string]any), item) })
	}
	return !isObject || d.objectKeyword(t, s, keyword, want, members)
}

func (d *openAPI) objectKeyword(t *testing.T, s schema, keyword string, want any, members map[string]any) bool {
	t.Helper()
	known, _ := s["properties"].(map[string]any)
	all := func(f func(name string, v any) bool) bool {
		for name, v := range members {
			if !f(name, v) {
				return false
			}
		}
		return true
	}
	switch keyword {
	case "properties":
		return all(func(name string, v any) bool {
			one, ok := known[name].(map[string]any)
			return !ok || d.fits(t, one, v)
		})
	case "additionalProperties":
		one, _ := want.(map[string]any) // else false
		return all(func(name string, v any) bool { return known[name] != nil || one != nil && d.fits(t, one, v) })
	case "propertyNames":
		return all(func(name string, _ any) bool { return d.fits(t, want.(map[string]any), name) })
	case "minProperties":
		return float64(len(members)) >= want.(float64)
	case "maxProperties":
		return float64(len(members)) <= want.(float64)
	case "required":
		return !slices.ContainsFunc(want.([]any), func(name any) bool { _, ok := members[name.(string)]; return !ok })
	}
	t.Errorf("keyword %q is not known to the test", keyword)
	return false
}

// document reads /openapi.json.
func (s *harness) document() *openAPI {
	s.t.Helper()
	d := new(openAPI)
	if err := json.Unmarshal([]byte(s.do("", "GET", "/openapi.json", "").body), d); err != nil {
		s.t.Fatal(err)
	}
	return d
}

// entries are as many members of an object, or of a list for no value.
func entries(n int, value string) string {
	all := make([]string, n)
	for i := range all {
		if all[i] = fmt.Sprintf(`"n%d"`, i); value != "" {
			all[i] += ":" + value
		}
	}
	return strings.Join(all, ",")
}

// TestSchemaOfBodies: what /openapi.json takes as a body, the server takes, and no more.
func TestSchemaOfBodies(t *testing.T) {
	s := start(t, func(c *settings) { c.PartyTimeout = time.Hour })
	d := s.document()
	of := func(path string, bodies map[string]bool) {
		for body, accepted := range bodies {
			var v any
			if err := json.Unmarshal([]byte(body), &v); err != nil {
				t.Fatalf("%s: %v", body, err)
			}
			if got := d.fits(t, d.Paths[path]["post"].RequestBody.Content["application/json"].Schema, v); got != accepted {
				t.Errorf("POST %s %.200s: by the schema %v, want %v", path, body, got, accepted)
			}
			// Each is somebody else's: what is refused for other reasons than its fields is accepted.
			r := s.do(fmt.Sprintf("p%d", time.Now().UnixNano()), "POST", path, body)
			if got := r.code != http.StatusBadRequest; got != accepted || r.code >= 500 {
				t.Errorf("POST %s %.200s: by the server %d %s, want %v", path, body, r.code, r.body, accepted)
			}
		}
	}
	player := func(text string) string { return `{"queue":"session","players":[` + text + `]}` }
	attribute := func(text string) string { return player(`{"attributes":{"a":` + text + `}}`) }
	party := func(text string) string { return `{"queue":"squad","party":` + text + `}` }
	of("/v1/tickets", map[string]bool{
		`{}`: false, `{"queue":""}`: false, `{"queue":"session"}`: true, `{"queue":"session","players":[]}`: true, `{"queue":"session","ranked":true}`: false,
		`{"queue":"session","region":""}`: true, `{"queue":"session","region":"eu"}`: true, `{"queue":"session","region":"e u"}`: false,
		`{"queue":"session","region":"` + strings.Repeat("x", 64) + `"}`: true, `{"queue":"session","region":"` + strings.Repeat("x", 65) + `"}`: false,
		player(`{}`): true, player(`{"id":""}`): true, player(`{"id":"a b"}`): false, player(`{"attributes":{}}`): true,
		attribute(`{}`): false, attribute(`{"number":1}`): true, attribute(`{"number":0}`): true, attribute(`{"number":1,"string":"x"}`): false,
		attribute(`{"string":""}`): true, attribute(`{"string":"` + strings.Repeat("ü", 256) + `"}`): true, attribute(`{"string":"` + strings.Repeat("x", 257) + `"}`): false,
		attribute(`{"string_list":{}}`): true, attribute(`{"string_list":{"values":["","",""]}}`): true, attribute(`{"string_list":{"values":[` + entries(65, "") + `]}}`): false,
		attribute(`{"string_number_map":{"values":{"x":1}}}`): true, attribute(`{"string_number_map":{"values":{"":1}}}`): false,
		attribute(`{"string_number_map":{"values":{` + entries(65, "1") + `}}}`): false,
		player(`{"attributes":{"":{"number":1}}}`):                               false, player(`{"attributes":{` + entries(64, `{"number":1}`) + `}}`): true, player(`{"attributes":{` + entries(65, `{"number":1}`) + `}}`): false,
		player(`{"latencies":{"eu":0}}`): true, player(`{"latencies":{"eu":60000}}`): true, player(`{"latencies":{"eu":60001}}`): false, player(`{"latencies":{"eu":-1}}`): false,
		player(`{"latencies":{"eu":0.5}}`): false, player(`{"latencies":{"":1}}`): false, player(`{"latencies":{` + entries(65, "1") + `}}`): false,
		party(`{}`): false, party(`{"size":0}`): false, party(`{"invited":[]}`): false, party(`{"size":0,"invited":[]}`): false,
		party(`{"size":1}`): false, party(`{"size":2}`): true, party(`{"size":-1,"invited":["b"]}`): false, party(`{"size":1,"invited":["b"]}`): false,
		party(`{"size":0,"invited":["zz"]}`): true, party(`{"size":2,"invited":[]}`): true, party(`{"invited":["b"]}`): true,
		party(`{"invited":["b","b"]}`): false, party(`{"invited":[""]}`): false, party(`{"invited":["b b"]}`): false, party(`{"size":1000}`): false,
	})
	of("/v1/parties/join", map[string]bool{
		`{}`: false, `{"code":""}`: false, `{"code":"x"}`: true, `{"code":"-"}`: true, `{"code":"` + strings.Repeat("x", 64) + `"}`: true, `{"code":"` + strings.Repeat("x", 65) + `"}`: false,
		`{"code":"x","player":{}}`: true, `{"code":"x","player":{"id":""}}`: true, `{"code":"x","player":{"id":" "}}`: false, `{"code":"x","party":{}}`: false,
	})
}

// TestSchemaOfParameters: so it is with parameters.
func TestSchemaOfParameters(t *testing.T) {
	s := start(t, func(c *settings) { c.PlayTimeout = time.Millisecond })
	d := s.document()
	made := s.create("alice")
	for _, c := range []struct {
		path, name string
		values     map[string]bool
	}{
		{"/play/{region}", "region", map[string]bool{"eu": true, "a b": false, "ü": false, "eu\n": false, strings.Repeat("x", 64): true, strings.Repeat("x", 65): false}},
		{"/play/{region}", "skill", map[string]bool{"1": true, "-1.5": true, "1e3": true}},
		{"/play/{region}", "latency", map[string]bool{"0": true, "60000": true, "60001": false, "-1": false, "1.5": false}},
		{"/v1/tickets/{id}/wait", "timeout", map[string]bool{
			"1ms": true, "0.001s": true, ".001s": true, "1.ms": true, "+1ms": true, "0m0.5ms1us": true, "1µs": true, "1": false, "": false, "soon": false, "-1s": false, "1 ms": false, "1d": false, "1ms,": false,
		}},
	} {
		parameters := d.Paths[c.path]["get"].Parameters
		i := slices.IndexFunc(parameters, func(p struct {
			Name, In string
			Schema   schema
		}) bool {
			return p.Name == c.name
		})
		if i < 0 {
			t.Errorf("%s has no %s", c.path, c.name)
			continue
		}
		for text, accepted := range c.values {
			var v any = text
			if n, err := strconv.ParseFloat(text, 64); err == nil && parameters[i].Schema["type"] != "string" {
				v = n
			}
			if got := d.fits(t, parameters[i].Schema, v); got != accepted {
				t.Errorf("%s, %s %q: by the schema %v, want %v", c.path, c.name, text, got, accepted)
			}
			path := strings.NewReplacer("{id}", made.ID, "{"+c.name+"}", url.PathEscape(text), "{region}", "eu").Replace(c.path)
			if parameters[i].In == "query" {
				path += "?" + url.Values{c.name: {text}}.Encode()
			}
			player := "alice"
			if c.path == "/play/{region}" {
				player = "plays" // one who may play again and again
			}
			r := s.do(player, "GET", path, "")
			if got := r.code != http.StatusBadRequest; got != accepted || r.code >= 500 {
				t.Errorf("GET %s: by the server %d %s, want %v", path, r.code, r.body, accepted)
			}
		}
	}
}

// TestSchemaOfNames: no parameter by which something is found may be empty.
func TestSchemaOfNames(t *testing.T) {
	d := start(t, nil).document()
	for path, operations := range d.Paths {
		for method, op := range operations {
			for _, p := range op.Parameters {
				if (p.In == "path" || p.Name == api.KeyHeader) && d.fits(t, p.Schema, "") {
					t.Errorf("%s %s: %s may be empty", method, path, p.Name)
				}
			}
		}
	}
}
