package frontend_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"torikumi/frontend/frontend"
	"torikumi/frontend/signing"
	"torikumi/pkg/eventually"
	"torikumi/pkg/problem"
)

type settings = frontend.Config

func decode(t testing.TB, r reply, code int, into any) {
	t.Helper()
	if r.code != code {
		t.Fatalf("status %d, want %d: %s", r.code, code, r.body)
	}
	if err := json.Unmarshal([]byte(r.body), into); err != nil {
		t.Fatalf("%v: %s", err, r.body)
	}
}

// checkProblem compares a whole answer with the problem it has to be.
func checkProblem(t *testing.T, r reply, want problem.Problem) {
	t.Helper()
	if got := r.header.Get("Content-Type"); got != problem.ContentType {
		t.Errorf("content type %q: %s", got, r.body)
	}
	if r.header.Get("Cache-Control") != "no-store" {
		t.Error("a problem that may be cached")
	}
	d := json.NewDecoder(strings.NewReader(r.body))
	d.DisallowUnknownFields()
	var got problem.Problem
	if err := d.Decode(&got); err != nil {
		t.Fatalf("%v: %s", err, r.body)
	}
	if diff := cmp.Diff(want, got); diff != "" || r.code != want.Status {
		t.Errorf("status %d, problem (-want +got):\n%s", r.code, diff)
	}
}

func bad(field, rule string) problem.Problem {
	return problem.New(400, "the request breaks the rules of its fields", problem.Field{Field: field, Rule: rule})
}

func unreadable(field, rule string) problem.Problem {
	return problem.New(400, "the request cannot be read", problem.Field{Field: field, Rule: rule})
}

func because(p problem.Problem, reason string) problem.Problem { p.Reason = reason; return p }

// misread is the problem of a body that is not what it should be.
func misread(fields ...problem.Field) problem.Problem {
	const right = `{"queue":"session","players":[{"attributes":{"skill":{"number":1500}},"latencies":{"eu":30}}],"region":"eu"}`
	return problem.New(400, "the body cannot be read; a right one is "+right, fields...)
}

func wrong(field, rule string) problem.Problem {
	return misread(problem.Field{Field: field, Rule: rule})
}

const urlRule = "must be written as in URLs: & between parameters, others than letters and digits as %XX of their UTF-8"

func badParameter(field, rule string) problem.Problem {
	return problem.New(400, "the request breaks the rules of its parameters", problem.Field{Field: field, Rule: rule})
}

const nameless = "must not have a parameter with an empty name"

func TestProblems(t *testing.T) {
	s := start(t, nil)
	first := s.create("busy")
	conflict := because(problem.New(409, "a player of the ticket already searches in this queue, or in one of its group"), "already_searching")
	conflict.TicketID = first.ID
	missing := because(problem.New(401, "a player token is needed: Authorization: Bearer <token>"), "missing_token")
	notFound := problem.New(404, "no such ticket")
	large := `{"queue":"` + strings.Repeat("x", 16<<10) + `"}`
	tooLarge := problem.New(413, "the body must have at most 16384 bytes")
	number := func(n string) string {
		return `{"queue":"session","players":[{"attributes":{"skill":{"number":` + n + `}}}]}`
	}
	for name, test := range map[string]struct {
		player, method, path, body string
		want                       problem.Problem
	}{
		"no token":           {"", "POST", "/v1/tickets", `{"queue":"session"}`, missing},
		"no token, events":   {"", "GET", "/v1/tickets/" + first.ID + "/events", "", missing},
		"no token, play":     {"", "GET", "/play/eu", "", missing},
		"no queue":           {"a", "POST", "/v1/tickets", `{}`, bad("queue", "required: one of session, squad, trio")},
		"no body":            {"a", "POST", "/v1/tickets", ``, bad("queue", "required: one of session, squad, trio")},
		"unknown queue":      {"a", "POST", "/v1/tickets", `{"queue":"nope"}`, bad("queue", "must be one of session, squad, trio")},
		"unknown field":      {"a", "POST", "/v1/tickets", `{"queue":"session","ranked":true}`, wrong("ranked", "unknown field; known are queue, players, region, party")},
		"twice the same":     {"a", "POST", "/v1/tickets", `{"queue":"session","queue":"squad"}`, wrong("queue", "must be given once")},
		"wrong type":         {"a", "POST", "/v1/tickets", `{"queue":7}`, wrong("queue", "must be a string")},
		"not a number":       {"a", "POST", "/v1/tickets", number(`"NaN"`), bad("players[0].attributes.skill.number", "must be finite")},
		"too large a number": {"a", "POST", "/v1/tickets", number(`1e999`), wrong("players[0].attributes.skill.number", "must be a number")},
		"no JSON":            {"a", "POST", "/v1/tickets", `play!`, wrong("body", "must be one JSON object as the API describes it, in UTF-8")},
		"two bodies":         {"a", "POST", "/v1/tickets", `{"queue":"session"} {}`, wrong("body", "must be one JSON object as the API describes it, in UTF-8")},
		"party too large":    {"a", "POST", "/v1/tickets", `{"queue":"session","party":{"size":2}}`, bad("party.size", `must be at most 1 in queue "session"`)},
		"somebody else":      {"a", "POST", "/v1/tickets", `{"queue":"session","players":[{"id":"b"}]}`, bad("players[0].id", "must be the caller's, or left out")},
		"with somebody else": {"a", "POST", "/v1/tickets", `{"queue":"squad","players":[{},{"id":"b"}]}`, bad("players", "must be the caller alone; others join the party with their own tokens")},
		"join as another":    {"a", "POST", "/v1/parties/join", `{"code":"X","player":{"id":"b"}}`, bad("player.id", "must be the caller's, or left out")},
		"join without code":  {"a", "POST", "/v1/parties/join", `{}`, bad("code", "required")},
		"start another's":    {"a", "POST", "/v1/tickets/" + first.ID + "/start", "", notFound},
		"leave another's":    {"a", "DELETE", "/v1/tickets/" + first.ID + "/players/a", "", notFound},
		"kick in another's":  {"a", "DELETE", "/v1/tickets/" + first.ID + "/players/busy", "", notFound},
		"latency": {
			"a", "POST", "/v1/tickets", `{"queue":"session","players":[{"latencies":{"eu":60001}}]}`,
			bad("players[0].latencies.eu", "must be 0 to 60000 milliseconds"),
		},
		"region":            {"a", "POST", "/v1/tickets", `{"queue":"session","region":"e u"}`, bad("region", "must have 1 to 64 characters of [A-Za-z0-9_.-]")},
		"second ticket":     {"busy", "POST", "/v1/tickets", `{"queue":"session"}`, conflict},
		"second by play":    {"busy", "GET", "/play/eu", ``, conflict},
		"large body":        {"a", "POST", "/v1/tickets", large, tooLarge},
		"large body, GET":   {"a", "GET", "/v1/tickets/x", large, tooLarge},
		"unknown ticket":    {"a", "GET", "/v1/tickets/nope", "", notFound},
		"someone else's":    {"a", "GET", "/v1/tickets/" + first.ID, "", notFound},
		"cancel another's":  {"a", "DELETE", "/v1/tickets/" + first.ID, "", notFound},
		"wait for another":  {"a", "GET", "/v1/tickets/" + first.ID + "/wait", "", notFound},
		"watch another's":   {"a", "GET", "/v1/tickets/" + first.ID + "/events", "", notFound},
		"join another's":    {"a", "POST", "/v1/tickets/" + first.ID + "/join-token", "", notFound},
		"wait too long":     {"busy", "GET", "/v1/tickets/" + first.ID + "/wait?timeout=61s", "", bad("timeout", "must be more than 0s and at most 60s")},
		"wait not at all":   {"busy", "GET", "/v1/tickets/" + first.ID + "/wait?timeout=0s", "", bad("timeout", "must be more than 0s and at most 60s")},
		"wait in words":     {"busy", "GET", "/v1/tickets/" + first.ID + "/wait?timeout=soon", "", unreadable("timeout", `must be a duration such as "30s"`)},
		"wait for what":     {"busy", "GET", "/v1/tickets/" + first.ID + "/wait?until=noon", "", unreadable("until", "unknown parameter")},
		"no such path":      {"a", "GET", "/v2/tickets", "", problem.New(404, "there is nothing at this path")},
		"no UTF-8 as id":    {"a", "GET", "/v1/tickets/%ff", "", notFound},
		"no UTF-8, watched": {"a", "GET", "/v1/tickets/%ff/events", "", notFound},
		"two parameters":    {"busy", "GET", "/v1/tickets/" + first.ID + "/wait?timeout=1s&timeout=2s", "", unreadable("timeout", "must be given once")},
		"no name":           {"busy", "GET", "/v1/tickets/" + first.ID + "?=1", "", unreadable("query", nameless)},
		"nothing but =":     {"a", "POST", "/v1/tickets?=", `{"queue":"session"}`, unreadable("query", nameless)},
		"no name, wrong":    {"a", "GET", "/play/eu?=%zz", "", badParameter("query", urlRule)},
		"wrong query":       {"busy", "GET", "/v1/tickets/" + first.ID + "?a=%zz", "", unreadable("a", urlRule)},
		"semicolon":         {"a", "GET", "/play/eu?skill=900;latency=20", "", badParameter("skill", urlRule)},
		"semicolons":        {"a", "GET", "/play/eu?a;b=1&skill=1", "", badParameter("query", urlRule)},
		"wrong value":       {"a", "GET", "/play/eu?skill=%zz", "", badParameter("skill", urlRule)},
		"wrong name":        {"a", "GET", "/play/eu?%zz=1", "", badParameter("query", urlRule)},
		"no UTF-8 as value": {"a", "GET", "/play/eu?latency=%ff", "", badParameter("latency", urlRule)},
		"other letters":     {"a", "GET", "/play/eu?Skill=900", "", badParameter("Skill", "unknown parameter; did you mean skill?")},
		"query of a body":   {"a", "POST", "/v1/tickets?queue=session", `{"queue":"session"}`, unreadable("queue", "unknown parameter")},
		"query of events":   {"busy", "GET", "/v1/tickets/" + first.ID + "/events?x=1", "", unreadable("x", "unknown parameter")},
		"broken and empty":  {"busy", "GET", "/v1/tickets/" + first.ID + "?&&;", "", unreadable("query", urlRule)},
		"wrong method":      {"a", "PUT", "/v1/tickets", "", problem.New(405, "use GET or POST")},
		"wrong for events":  {"a", "POST", "/v1/tickets/x/events", "", problem.New(405, "use GET")},
		"wrong for play":    {"a", "POST", "/play/eu", "", problem.New(405, "use GET")},
		"wrong for the set": {"a", "DELETE", "/play/eu", "", problem.New(405, "use GET")},
	} {
		t.Run(name, func(t *testing.T) {
			checkProblem(t, s.do(test.player, test.method, test.path, test.body), test.want)
		})
	}
	if got := s.om.count(); got != 1 {
		t.Errorf("%d tickets in Open Match, want only the first", got)
	}
}

// TestWrongBodies: whatever is wrong with a body, its field is named by its path,
// and the answer shows a right one.
func TestWrongBodies(t *testing.T) {
	s := start(t, nil)
	const attribute, notOne = "players[0].attributes.skill", "must be an object with one of number, string, string_list, string_number_map"
	players := func(text string) string { return `{"queue":"session","players":` + text + `}` }
	skill := func(text string) string { return players(`[{"attributes":{"skill":` + text + `}}]`) }
	field := func(field, rule string) problem.Field { return problem.Field{Field: field, Rule: rule} }
	noObject := field("body", "must be an object with queue, players, region, party")
	noJSON := field("body", "must be one JSON object as the API describes it, in UTF-8")
	for name, test := range map[string]struct {
		body string
		want []problem.Field
	}{
		"attributes outside of players": {`{"attributes":{"skill":1500}}`, []problem.Field{field("attributes", "unknown field; did you mean players[0].attributes?")}},
		"attribute without its type":    {skill(`1500`), []problem.Field{field(attribute, notOne)}},
		"attribute is null":             {skill(`null`), []problem.Field{field(attribute, notOne)}},
		"another case":                  {`{"Queue":"session"}`, []problem.Field{field("Queue", "unknown field; did you mean queue?")}},
		"another case, inside":          {skill(`{"StringList":{}}`), []problem.Field{field(attribute+".StringList", "unknown field; did you mean string_list?")}},
		"unknown, inside":               {players(`[{"elo":1}]`), []problem.Field{field("players[0].elo", "unknown field; known are id, attributes, latencies")}},
		"text for a number":             {skill(`{"number":"high"}`), []problem.Field{field(attribute+".number", "must be a number")}},
		"number for a text":             {skill(`{"string":1500}`), []problem.Field{field(attribute+".string", "must be a string")}},
		"number in a list of texts":     {skill(`{"string_list":{"values":["a",1]}}`), []problem.Field{field(attribute+".string_list.values[1]", "must be a string")}},
		"list without its object":       {skill(`{"string_list":["a"]}`), []problem.Field{field(attribute+".string_list", "must be an object with values")}},
		"fraction of a millisecond":     {players(`[{"latencies":{"eu":0.5}}]`), []problem.Field{field("players[0].latencies.eu", "must be a whole number")}},
		"too large a latency":           {players(`[{"latencies":{"eu":2147483648}}]`), []problem.Field{field("players[0].latencies.eu", "must be a whole number")}},
		"latencies as a list":           {players(`[{"latencies":[30]}]`), []problem.Field{field("players[0].latencies", "must be an object")}},
		"players as an object":          {players(`{"id":"a"}`), []problem.Field{field("players", "must be a list")}},
		"player as a text":              {players(`["a"]`), []problem.Field{field("players[0]", "must be an object with id, attributes, latencies")}},
		"repeated field":                {`{"queue":"session","queue":"session"}`, []problem.Field{field("queue", "must be given once")}},
		"repeated attribute":            {players(`[{"attributes":{"a":{"number":1},"a":{"number":2}}}]`), []problem.Field{field("players[0].attributes.a", "must be given once")}},
		"empty name":                    {`{"":1}`, []problem.Field{field("body", "must not have a field with an empty name; known are queue, players, region, party")}},
		"empty name, inside":            {players(`[{"":1}]`), []problem.Field{field("players[0]", "must not have a field with an empty name; known are id, attributes, latencies")}},
		"empty name, in a map":          {players(`[{"latencies":{"":"fast"}}]`), []problem.Field{field(`players[0].latencies.""`, "must be a whole number")}},
		"two types":                     {skill(`{"number":1,"string":"1"}`), []problem.Field{field(attribute, "must have only one of number, string, string_list, string_number_map")}},
		"several at once": {`{"queue":7,"players":[{"id":1,"latencies":{"eu":"fast"}}],"mode":"x"}`, []problem.Field{
			field("queue", "must be a string"), field("players[0].id", "must be a string"),
			field("players[0].latencies.eu", "must be a whole number"), field("mode", "unknown field; known are queue, players, region, party"),
		}},
		"a list":         {`[]`, []problem.Field{noObject}},
		"a text":         {`"session"`, []problem.Field{noObject}},
		"null":           {`null`, []problem.Field{noObject}},
		"cut":            {`{"queue":"session"`, []problem.Field{noJSON}},
		"trailing":       {`{"queue":"session"}x`, []problem.Field{noJSON}},
		"invalid UTF-8":  {"{\"queue\":\"\xff\"}", []problem.Field{noJSON}},
		"lone surrogate": {`{"queue":"\ud800"}`, []problem.Field{field("queue", "must be a string")}},
		"white space":    {"  ", []problem.Field{noJSON}},
	} {
		t.Run(name, func(t *testing.T) {
			checkProblem(t, s.do("a", "POST", "/v1/tickets", test.body), misread(test.want...))
		})
	}
}

func TestContentType(t *testing.T) {
	s := start(t, nil)
	for kind, code := range map[string]int{
		"": 200, "application/json": 200, "application/json; charset=utf-8": 200, "application/x-www-form-urlencoded": 200, // curl -d
		"text/xml": 415, "multipart/form-data; boundary=x": 415, "?": 415,
	} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/v1/tickets", strings.NewReader(`{"queue":"session"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+s.token(fmt.Sprintf("p%x", kind)))
		if kind != "" {
			req.Header.Set("Content-Type", kind)
		}
		resp, err := s.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != code || code == 415 && resp.Header.Get("Content-Type") != problem.ContentType {
			t.Errorf("%q: %d, want %d", kind, resp.StatusCode, code)
		}
	}
}

// TestHeadersTwice: a header that is to be one value is refused when it is there twice,
// whichever comes first.
func TestHeadersTwice(t *testing.T) {
	s := start(t, nil)
	made := s.create("busy")
	send := func(method, path, body, name string, values ...string) reply {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+s.token("busy"))
		req.Header[name] = values
		return s.request(req)
	}
	twice := problem.New(415, "the body must have one type: Content-Type: application/json", problem.Field{Field: "Content-Type", Rule: "must be given once"})
	for _, kinds := range [][]string{{"application/json", "text/plain"}, {"text/plain", "application/json"}, {"application/json", "application/json"}, {"", "application/json"}} {
		for path, body := range map[string]string{"/v1/tickets": `{"queue":"squad"}`, "/v1/parties/join": `{"code":"x"}`} {
			checkProblem(t, send("POST", path, body, "Content-Type", kinds...), twice)
		}
	}
	checkProblem(t, send("GET", "/v1/tickets/"+made.ID+"/events", "", "Last-Event-Id", "a", "b"), unreadable("Last-Event-ID", "must be given once"))
}

// TestChunkedBody sends too much without saying how much.
func TestChunkedBody(t *testing.T) {
	s := start(t, nil)
	body := struct{ io.Reader }{bytes.NewReader(bytes.Repeat([]byte(" "), 17<<10))}
	r := s.send(t.Context(), s.token("a"), "POST", "/v1/tickets", body)
	checkProblem(t, r, problem.New(413, "the body must have at most 16384 bytes"))
}

// TestBodyThatGrows is small as JSON and too large as the message that it says.
func TestBodyThatGrows(t *testing.T) {
	s := start(t, nil)
	entries := make([]string, 1500)
	for i := range entries {
		entries[i] = fmt.Sprintf(`"%d":1`, i)
	}
	body := `{"queue":"session","players":[{"attributes":{"x":{"string_number_map":{"values":{` + strings.Join(entries, ",") + `}}}}}]}`
	if len(body) >= 16<<10 {
		t.Fatalf("the body has %d bytes", len(body))
	}
	checkProblem(t, s.do("a", "POST", "/v1/tickets", body), problem.New(413, "the body is too large"))
}

func TestTooManyTickets(t *testing.T) {
	s := start(t, func(c *settings) { c.MaxTickets = 1 })
	first := s.create("a")
	want := because(problem.New(429, "too many players are searching; try again later"), "too_many_tickets")
	checkProblem(t, s.do("b", "POST", "/v1/tickets", `{"queue":"session"}`), want)
	s.do("a", "DELETE", "/v1/tickets/"+first.ID, "")
	s.create("b")
}

// TestHeadersAreNotMetadata: nobody gets a token past the Authorization header.
func TestHeadersAreNotMetadata(t *testing.T) {
	s := start(t, nil)
	made := s.create("a")
	req, err := http.NewRequestWithContext(t.Context(), "GET", s.url+"/v1/tickets/"+made.ID, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Grpc-Metadata-Authorization", "Bearer "+s.token("a"))
	req.Header.Set("Grpc-Timeout", "1n")
	resp, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func TestBadTokens(t *testing.T) {
	s := start(t, nil)
	mint := func(change func(*signing.PlayerMinterOptions)) string {
		o := signing.PlayerMinterOptions{Keys: s.players, Issuer: playersURL, Audience: "game"}
		change(&o)
		m, err := signing.NewPlayerMinter(o)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := m.MintPlayer("a", time.Minute, nil)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	good := s.token("a")
	other := start(t, nil).token("a") // of another issuer with other keys
	for name, test := range map[string]struct{ raw, reason string }{
		"rubbish":    {"x", "malformed"},
		"cut":        {good[:len(good)-4], "malformed"},
		"other keys": {other, "unknown_key"},
		"expired": {
			mint(func(o *signing.PlayerMinterOptions) { o.Now = func() time.Time { return time.Now().Add(-time.Hour) } }), "expired",
		},
		"issuer":   {mint(func(o *signing.PlayerMinterOptions) { o.Issuer = "https://evil.example" }), "wrong_issuer"},
		"audience": {mint(func(o *signing.PlayerMinterOptions) { o.Audience = "shop" }), "wrong_audience"},
	} {
		for i, path := range []string{"/v1/tickets/x", "/v1/tickets/x/events", "/play/eu"} {
			r := s.send(t.Context(), test.raw, "GET", path, http.NoBody)
			if name == "other keys" && i > 0 { // the issuer has just been asked, and may have a new key
				checkProblem(t, r, because(problem.New(503, "the token's key is not known, or not yet; try again"), "unknown_key"))
				if r.header.Get("Retry-After") != "10" {
					t.Errorf("%s: %v", name, r.header)
				}
				continue
			}
			want := because(problem.New(401, "player token refused: "+test.reason), test.reason)
			if name == "cut" { // how it is broken depends on where it is cut
				var p problem.Problem
				decode(t, r, 401, &p)
				want = because(problem.New(401, "player token refused: "+p.Reason), p.Reason)
			}
			checkProblem(t, r, want)
			if strings.Contains(r.body, test.raw) && name != "rubbish" {
				t.Errorf("%s: the answer shows the token", name)
			}
			if r.header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s: no WWW-Authenticate", name)
			}
		}
	}
}

// TestIssuerDown: nobody can tell whether a token is good, which is no fault of
// its player.
func TestIssuerDown(t *testing.T) {
	s := start(t, func(c *settings) { c.PlayerJWKSURL = "http://127.0.0.1:1/jwks.json" })
	r := s.do("a", "GET", "/v1/tickets/x", "")
	checkProblem(t, r, because(problem.New(503, "player tokens cannot be checked at the moment"), "keys_unavailable"))
	if r := s.do("", "GET", "/readyz", ""); r.code != http.StatusServiceUnavailable {
		t.Errorf("ready without the issuer's keys: %s", r.body)
	}
	if r := s.do("", "GET", "/livez", ""); r.code != http.StatusOK {
		t.Errorf("not live: %s", r.body)
	}
}

func TestOpenMatchDown(t *testing.T) {
	s := start(t, nil)
	s.om.down()
	want := because(problem.New(503, "the matchmaker cannot be reached; try again"), "matchmaker_unavailable")
	checkProblem(t, s.do("a", "POST", "/v1/tickets", `{"queue":"session"}`), want)
	checkProblem(t, s.send(t.Context(), playToken, "GET", "/play/eu", http.NoBody), want)
	// The failed ticket holds no seat.
	s.om.up()
	eventually.True(t, "the player can search", func() bool {
		return s.do("a", "POST", "/v1/tickets", `{"queue":"session"}`).code == http.StatusOK
	})
	if got := s.om.count(); got != 1 {
		t.Errorf("%d tickets in Open Match, want 1", got)
	}
}
