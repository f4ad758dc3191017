package jsonstream_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"torikumi/minimatch/internal/jsonstream"
	"torikumi/proto/openmatch"
)

func reader(status int, body string, limit int64) *jsonstream.Reader {
	return jsonstream.NewReader(&http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body))}, limit)
}

// read returns the match ids of a stream and what ended it.
func read(r *jsonstream.Reader) (ids []string, err error) {
	for {
		var m openmatch.EvaluateResponse
		if err := r.Next(&m); err != nil {
			return ids, err
		}
		ids = append(ids, m.GetMatchId())
	}
}

func TestNext(t *testing.T) {
	failure := func(err error) bool { var f *jsonstream.Failure; return errors.As(err, &f) }
	is := func(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }
	for name, c := range map[string]struct {
		status int
		body   string
		ids    string
		ends   func(error) bool
		text   string
	}{
		"nothing":           {200, "", "", is(io.EOF), ""},
		"both names":        {200, `{"result":{"matchId":"a"}}{"result":{"match_id":"b","new":1}}`, "a b", is(io.EOF), ""},
		"no error":          {200, `{"result":{"matchId":"a"},"error":{}}{"result":{},"error":null}`, "a ", is(io.EOF), ""},
		"half an object":    {200, `{"result":{"matchId":"a"}}{"result":{"ma`, "a", is(jsonstream.ErrMalformed), ""},
		"not JSON":          {200, "<html>", "", is(jsonstream.ErrMalformed), ""},
		"no object":         {200, "[1]", "", is(jsonstream.ErrMalformed), ""},
		"neither":           {200, "{}", "", is(jsonstream.ErrMalformed), ""},
		"a wrong type":      {200, `{"result":{"matchId":1}}`, "", is(jsonstream.ErrMalformed), ""},
		"an error":          {200, `{"result":{"matchId":"a"}}{"error":{"code":13,"message":"broken"}}`, "a", failure, "broken"},
		"a foreign error":   {200, `{"error":"broken"}`, "", failure, "broken"},
		"a bad status":      {404, `{"code":5,"message":"Not Found","details":[]}`, "", failure, "404"},
		"a text":            {503, "upstream is gone\n", "", failure, `503: "upstream is gone"`},
		"a wordless status": {503, "", "", failure, "503"},
		"a nested error":    {500, `{"error":{"code":13,"message":"no rule set"}}`, "", failure, `500: "no rule set"`},
		"an error's text":   {500, `{"error":"no rule set"}`, "", failure, `500: "no rule set"`},
		"other JSON":        {500, `{"detail":"no rule set"}`, "", failure, "no rule set"},
		"a bare error":      {200, `{"code":13,"message":"no rule set"}`, "", failure, "no rule set"},
		"a long text":       {500, strings.Repeat("é", 1500), "", failure, "é\" (the first 2000 of 3000 bytes)"},
		"a longer text":     {200, `{"error":{"message":"` + strings.Repeat("€", 900) + `"}}`, "", failure, "€\" (the first 1998 of 2700 bytes)"},
	} {
		t.Run(name, func(t *testing.T) {
			ids, err := read(reader(c.status, c.body, 4000))
			if strings.Join(ids, " ") != c.ids || !c.ends(err) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %q, %v", ids, err)
			}
		})
	}
}

func TestAMessageIsBoundedAndTheStreamIsNot(t *testing.T) {
	one := `{"result":{"matchId":"` + strings.Repeat("a", 4000) + `"}}`
	if ids, err := read(reader(200, strings.Repeat(one, 100), 10_000)); len(ids) != 100 || !errors.Is(err, io.EOF) {
		t.Errorf("got %d messages, %v", len(ids), err)
	}
	if ids, err := read(reader(200, one, 1000)); len(ids) != 0 || !errors.Is(err, jsonstream.ErrTooLarge) {
		t.Errorf("got %d messages, %v", len(ids), err)
	}
}

func FuzzNext(f *testing.F) {
	for _, s := range []string{`{"result":{"matchId":"a"}}`, `{"error":{"message":"x"}}`, `{"result":`, "[[[", "null", ""} {
		f.Add(200, s)
		f.Add(500, s)
	}
	f.Fuzz(func(t *testing.T, status int, body string) {
		ids, err := read(reader(status, body, 1<<16))
		if len(ids) > len(body) || err == nil {
			t.Errorf("%d messages, %v", len(ids), err)
		}
	})
}
