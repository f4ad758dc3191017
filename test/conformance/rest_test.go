package conformance_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	"torikumi/minimatch/minimatch"
	"torikumi/proto/openmatch"
)

// request makes an HTTP request and returns the status and the body.
func request(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// firstLine returns the first message of a stream that goes on.
func firstLine(t *testing.T, url string) string {
	resp, err := http.Get(url)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer resp.Body.Close()
	line, err := bufio.NewReader(resp.Body).ReadString('\n')
	if err != nil {
		t.Error(err)
	}
	return line
}

// object reads a JSON object.
func object(t *testing.T, text string) map[string]any {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return o
}

func TestRESTCallsOfAPlayersLife(t *testing.T) {
	om := start(t)
	om.rest()
	code, text := request(t, "POST", om.frontendURL+"tickets",
		`{"ticket":{"search_fields":{"tags":["`+om.name+`"],"double_args":{"x":1}},"new_field":true}}`)
	ticket := object(t, text)
	if code != http.StatusOK || ticket["id"] == nil || ticket["create_time"] == nil || ticket["search_fields"] == nil {
		t.Fatalf("%d %s", code, text)
	}
	id := ticket["id"].(string)
	pool := `{"pool":{"tagPresentFilters":[{"tag":"` + om.name + `"}]}}`
	if code, text := request(t, "POST", om.queryURL+"tickets:query", pool); code != http.StatusOK || !strings.Contains(text, id) ||
		object(t, text)["result"].(map[string]any)["tickets"] == nil {
		t.Errorf("%d %s", code, text)
	}
	if code, text := request(t, "POST", om.queryURL+"ticketids:query", pool); code != http.StatusOK || !strings.Contains(text, id) {
		t.Errorf("%d %s", code, text)
	}

	// The answer begins with the first assignment.
	watched := make(chan string, 1)
	go func() { watched <- firstLine(t, om.frontendURL+"tickets/"+id+"/assignments") }()
	if code, text := request(t, "POST", om.backendURL+"tickets:assign",
		`{"assignments":[{"ticket_ids":["`+id+`","none"],"assignment":{"connection":"here:1"}}]}`); code != http.StatusOK ||
		!strings.Contains(text, `"ticket_id":"none"`) {
		t.Errorf("%d %s", code, text)
	}
	if line := <-watched; !strings.Contains(line, `"connection":"here:1"`) || object(t, line)["result"] == nil {
		t.Errorf("%q", line)
	}
	if code, text := request(t, "DELETE", om.frontendURL+"tickets/"+id, ""); code != http.StatusOK || text != "{}" {
		t.Errorf("%d %s", code, text)
	}
	if code, text := request(t, "GET", om.frontendURL+"tickets/"+id, ""); code != http.StatusNotFound || object(t, text)["code"] != 5.0 {
		t.Errorf("%d %s", code, text)
	}
	for _, call := range []string{"release", "releaseall"} {
		if code, text := request(t, "POST", om.backendURL+"tickets:"+call, "{}"); code != http.StatusOK || text != "{}" {
			t.Errorf("%d %s", code, text)
		}
	}
}

func TestRESTCallsOfABackfillsLife(t *testing.T) {
	om := start(t)
	om.rest()
	base := om.frontendURL + "backfills"
	code, text := request(t, "POST", base, `{"backfill":{"search_fields":{"tags":["`+om.name+`"]}}}`)
	backfill := object(t, text)
	if code != http.StatusOK || backfill["generation"] != "1" {
		t.Fatalf("%d %s", code, text)
	}
	id := backfill["id"].(string)
	code, text = request(t, "PATCH", base, `{"backfill":{"id":"`+id+`","search_fields":{"tags":["`+om.name+`","b"]}}}`)
	if code != http.StatusOK || object(t, text)["generation"] != "2" {
		t.Errorf("%d %s", code, text)
	}
	code, text = request(t, "POST", om.queryURL+"backfills:query", `{"pool":{"tag_present_filters":[{"tag":"b"}]}}`)
	if code != http.StatusOK || !strings.Contains(text, id) {
		t.Errorf("%d %s", code, text)
	}
	code, text = request(t, "POST", base+"/"+id+"/acknowledge", `{"assignment":{"connection":"x"}}`)
	if code != http.StatusOK || object(t, text)["backfill"] == nil {
		t.Errorf("%d %s", code, text)
	}
	if code, text := request(t, "DELETE", base+"/"+id, ""); code != http.StatusOK {
		t.Errorf("%d %s", code, text)
	}
	if code, text := request(t, "GET", base+"/"+id, ""); code != http.StatusNotFound {
		t.Errorf("%d %s", code, text)
	}
}

func TestRESTRefusesWhatIsWrong(t *testing.T) {
	om := start(t)
	om.rest()
	for _, c := range []struct {
		method, url, body string
		code              int
	}{
		{"POST", om.frontendURL + "tickets", `{}`, 400},
		{"POST", om.frontendURL + "tickets", `{"ticket":`, 400},
		{"POST", om.frontendURL + "tickets", `{"ticket":1}`, 400},
		{"POST", om.frontendURL + "tickets", ``, 400},
		{"GET", om.frontendURL + "nothing", "", 404},
		{"POST", om.queryURL + "tickets:query", `{}`, 400},
		{"POST", om.backendURL + "matches:fetch", `{}`, 400},
		{"POST", om.backendURL + "tickets:assign", `{"assignments":[{}]}`, 400},
		{"PATCH", om.frontendURL + "backfills", `{"backfill":{"id":"none"}}`, 404},
	} {
		if code, text := request(t, c.method, c.url, c.body); code != c.code {
			t.Errorf("%s %s %s: %d %s, want %d", c.method, c.url, c.body, code, text, c.code)
		}
	}
}

// What minimatch answers otherwise: Open Match says 501 for the method, and 500
// for the others.
func TestRESTBlamesTheClient(t *testing.T) {
	om := start(t, func(*minimatch.Config) {})
	for _, c := range []struct {
		method, url, body string
		code              int
	}{
		{"PUT", om.frontendURL + "tickets", `{}`, 405},
		{"GET", om.frontendURL + "tickets/%ff", "", 400},
		{"DELETE", om.frontendURL + "tickets/%ff", "", 400},
		{"GET", om.frontendURL + "tickets/%C3%28/assignments", "", 400},
		{"GET", om.frontendURL + "tickets/%25ff", "", 404},
		{"GET", om.frontendURL + "backfills/a%ffb", "", 400},
		{"DELETE", om.frontendURL + "backfills/%ff", "", 400},
		{"POST", om.frontendURL + "backfills/%ff/acknowledge", `{"assignment":{}}`, 400},
		{"POST", om.frontendURL + "tickets", "{\"ticket\":{\"search_fields\":{\"tags\":[\"\xff\"]}}}", 400},
		{"POST", om.backendURL + "matches:fetch", `{"config":{},"profile":{}}`, 400},
		{"POST", om.backendURL + "matches:fetch", `{"config":{"host":"x","port":99999},"profile":{}}`, 400},
		// A host that would be called at another port, or not at all.
		{"POST", om.backendURL + "matches:fetch", `{"config":{"host":"127.0.0.1/x?","port":1,"type":"REST"},"profile":{}}`, 400},
		{"POST", om.backendURL + "matches:fetch", `{"config":{"host":"user@127.0.0.1","port":1,"type":"REST"},"profile":{}}`, 400},
		{"POST", om.backendURL + "matches:fetch", `{"config":{"host":"[::1","port":1},"profile":{}}`, 400},
		{"POST", om.backendURL + "matches:fetch", `{"config":{"host":"fe80::1%lo","port":1,"type":"REST"},"profile":{}}`, 400},
		{"POST", om.backendURL + "matches:fetch", `{"config":{"host":"fe80::1%lo","port":1,"type":"GRPC"},"profile":{}}`, 400},
		{"POST", om.backendURL + "matches:fetch", `{"config":{"host":"::1%25lo","port":1,"type":"REST"},"profile":{}}`, 400},
		{"POST", om.backendURL + "matches:fetch", `{"config":{"host":"a b\u0000","port":1},"profile":{}}`, 400},
		// Words that no enum has.
		{"POST", om.backendURL + "matches:fetch", `{"config":{"host":"127.0.0.1","port":1,"type":"rest"},"profile":{}}`, 400},
		{"POST", om.queryURL + "tickets:query", `{"pool":{"double_range_filters":[{"double_arg":"x","max":1},{"double_arg":"x","exclude":"BOHT"}]}}`, 400},
		{"POST", om.queryURL + "tickets:query", `{"pool":{"doubleRangeFilters":[{"doubleArg":"x","exclude":"both"}]}}`, 400},
		// What follows the object.
		{"POST", om.frontendURL + "tickets", `{"ticket":{}}{"ticket":{}}`, 400},
		{"POST", om.frontendURL + "tickets", `{"ticket":{}} rubbish`, 400},
		{"POST", om.backendURL + "tickets:release", `{"ticket_ids":["a"]}],"oops`, 400},
		{"POST", om.queryURL + "ticketids:query", `{"pool":{}}}}}}`, 400},
		{"POST", om.queryURL + "tickets:query", `{"pool":{"double_range_filters":[{"double_arg":"x","max":1,"exclude":"BOTH"}]}} ` + "\n", 200},
	} {
		code, text := request(t, c.method, c.url, c.body)
		if code != c.code || code != http.StatusOK && object(t, text)["message"] == "" {
			t.Errorf("%s %s %s: %d %s, want %d", c.method, c.url, c.body, code, text, c.code)
		}
	}
}

// A body that stops is the client's fault, and tells no addresses.
func TestRESTBodyThatStops(t *testing.T) {
	om := start(t, func(*minimatch.Config) {})
	base, err := url.Parse(om.frontendURL)
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{`{"ticket":{}}`, `{"ticket":`, ``} {
		t.Run(body, func(t *testing.T) {
			conn, err := net.Dial("tcp", base.Host)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close() //nolint:errcheck // it is over
			if _, err := fmt.Fprintf(conn, "POST /v1/frontendservice/tickets HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n%s", body); err != nil {
				t.Fatal(err)
			}
			if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close() //nolint:errcheck // it has been read
			text, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != http.StatusBadRequest || strings.Contains(string(text), "127.0.0.1") || strings.Contains(string(text), "context") {
				t.Errorf("%d %s %v", resp.StatusCode, text, err)
			}
		})
	}
	om.expectWaiting()
}

// FuzzRESTRequest sends anything to the REST routes: it is never the service's fault.
func FuzzRESTRequest(f *testing.F) {
	om := start(f, func(c *minimatch.Config) { c.RegistrationInterval = time.Millisecond })
	for _, seed := range [][3]string{
		{"GET", "/v1/frontendservice/tickets/%ff", ""},
		{"GET", "/v1/frontendservice/tickets/x?ticket_id=%ff", ""},
		{"POST", "/v1/frontendservice/tickets", "{\"ticket\":{\"extensions\":{\"x\":{\"@type\":\"a/b\"}}}}"},
		{"PATCH", "/v1/frontendservice/backfills", `{"backfill":{"id":"x"}}`},
		{"POST", "/v1/frontendservice/backfills/x/acknowledge", `{"assignment":{}}`},
		{"POST", "/v1/queryservice/tickets:query", `{"pool":{"created_after":"0001-01-01T00:00:00Z"}}`},
		{"POST", "/v1/queryservice/backfills:query", `{"pool":{"double_range_filters":[{"min":"NaN","exclude":9}]}}`},
		{"POST", "/v1/backendservice/tickets:assign", `{"assignments":[null]}`},
		{"POST", "/v1/backendservice/matches:fetch", `{"config":{"type":"REST"},"profile":{}}`},
		{"OPTIONS", "/v1/backendservice/tickets:releaseall", ""},
		{"HEAD", "/healthz?readiness=true", ""},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	base, err := url.Parse(om.frontendURL)
	if err != nil {
		f.Fatal(err)
	}
	// Whatever is a request has to get an answer: a handler that panics gives none.
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	f.Fuzz(func(t *testing.T, method, target, body string) {
		if _, err := url.ParseRequestURI(target); err != nil || !strings.HasPrefix(target, "/") || strings.Contains(target, "/assignments") || strings.Contains(body, "host") {
			t.Skip("no URL, or one whose answer waits for others")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, method, "http://"+base.Host+target, strings.NewReader(body))
		if err != nil {
			t.Skip("not a request")
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatalf("%s %q %q: %v", method, target, body, err)
		}
		defer resp.Body.Close() //nolint:errcheck // it has been read
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode >= 500 {
			t.Errorf("%s %q %q: %d %s %v", method, target, body, resp.StatusCode, text, err)
		}
	})
}

func TestHealthz(t *testing.T) {
	om := start(t)
	om.rest()
	for _, base := range []string{om.frontendURL, om.backendURL, om.queryURL} {
		root := base[:strings.Index(base, "/v1/")]
		for _, path := range []string{"/healthz", "/healthz?readiness=true"} {
			if code, text := request(t, "GET", root+path, ""); code != http.StatusOK || text != "ok" {
				t.Errorf("%s%s: %d %q", root, path, code, text)
			}
		}
	}
}

// The probes of an address of their own do not take Open Match's away.
func TestHealthzBesideProbesOfTheirOwn(t *testing.T) {
	addrs := run(t, func(c *minimatch.Config) { c.AdminListen = "127.0.0.1:0" })
	for path, want := range map[string]int{
		addrs.HTTP + "/healthz": 200, addrs.HTTP + "/healthz?readiness=true": 200, addrs.HTTP + "/healthz?x": 200,
		addrs.HTTP + "/readyz": 404, addrs.HTTP + "/livez": 404, addrs.Admin + "/readyz": 200, addrs.Admin + "/healthz": 404,
	} {
		if code, text := request(t, "GET", "http://"+path, ""); code != want || strings.Contains(path, "/healthz") && code == 200 && text != "ok" {
			t.Errorf("%s: %d %q, want %d", path, code, text, want)
		}
	}
}

// do makes an HTTP request with headers and returns the answer, whose body is read.
func do(t *testing.T, method, url, body string, header map[string]string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp
}

func TestRESTSaysWhichMethodsAPathHas(t *testing.T) {
	om := start(t, func(*minimatch.Config) {})
	id := om.ticket().GetId()
	form := map[string]string{"Content-Type": "application/x-www-form-urlencoded", "X-HTTP-Method-Override": "PATCH"}
	for _, tt := range []struct {
		method, url string
		header      map[string]string
		code        int
		allow       string
	}{
		{"PUT", om.frontendURL + "tickets", nil, 405, "POST"},
		{"GET", om.frontendURL + "tickets", nil, 405, "POST"},
		{"PATCH", om.frontendURL + "tickets/" + id, nil, 405, "DELETE, GET"},
		{"HEAD", om.frontendURL + "tickets/" + id, nil, 405, "DELETE, GET"},
		{"OPTIONS", om.frontendURL + "tickets/" + id, nil, 405, "DELETE, GET"},
		{"POST", om.frontendURL + "tickets/" + id, form, 405, "DELETE, GET"},
		{"DELETE", om.frontendURL + "tickets/" + id + "/assignments", nil, 405, "GET"},
		{"DELETE", om.frontendURL + "backfills", nil, 405, "PATCH, POST"},
		{"POST", om.frontendURL + "backfills/x", nil, 405, "DELETE, GET"},
		{"GET", om.frontendURL + "backfills/x/acknowledge", nil, 405, "POST"},
		{"GET", om.backendURL + "tickets:releaseall", nil, 405, "POST"},
		{"NONSENSE", om.queryURL + "tickets:query", nil, 405, "POST"},
		{"GET", om.queryURL + "nothing", nil, 404, ""},
		{"POST", strings.TrimSuffix(om.frontendURL, "v1/frontendservice/") + "livez", nil, 405, "GET, HEAD"},
	} {
		resp := do(t, tt.method, tt.url, "", tt.header)
		if got := strings.Join(resp.Header["Allow"], "; "); resp.StatusCode != tt.code || got != tt.allow {
			t.Errorf("%s %s: %d, Allow %q, want %d, %q", tt.method, tt.url, resp.StatusCode, got, tt.code, tt.allow)
		}
	}
	// None of the methods was called to find out.
	if resp := do(t, "GET", om.frontendURL+"tickets/"+id, "", nil); resp.StatusCode != http.StatusOK {
		t.Errorf("the ticket: %s", resp.Status)
	}
}

// A form that is posted is a GET, or what X-HTTP-Method-Override says, as in Open Match. A page of
// another origin may send forms without asking: they do not get that far.
func TestRESTForms(t *testing.T) {
	for name, host := range map[string]string{"loopback": "127.0.0.1:0", "all addresses": "0.0.0.0:0"} {
		t.Run(name, func(t *testing.T) {
			om := start(t, func(c *minimatch.Config) { c.HTTPListen = host })
			url := om.frontendURL + "tickets/" + om.ticket().GetId()
			for _, tt := range []struct {
				override, origin, site string
				code                   int
			}{
				{"", "https://elsewhere.example", "", 403},
				{"DELETE", "https://elsewhere.example", "", 403},
				{"DELETE", "https://elsewhere.example", "cross-site", 403},
				{"DELETE", "null", "", 403},
				{"DELETE", "", "cross-site", 403},
				{"DELETE", "http://127.0.0.1:1", "same-site", 403},
				{"DELETE", "http://localhost", "", 403},
				{"", "", "", 200},
				{"delete", "", "", 200},
				{"", "", "", 404},
			} {
				header := map[string]string{"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
				for name, value := range map[string]string{"X-HTTP-Method-Override": tt.override, "Origin": tt.origin, "Sec-Fetch-Site": tt.site} {
					if value != "" {
						header[name] = value
					}
				}
				if resp := do(t, "POST", url, "x=1", header); resp.StatusCode != tt.code {
					t.Errorf("%+v: %s", tt, resp.Status)
				}
			}
		})
	}
}

// A hosts file may give this machine the names that services have in a cluster.
func TestAliasesOfThisMachine(t *testing.T) {
	om := start(t, func(*minimatch.Config) {})
	for host, want := range map[string]int{
		"open-match-frontend": 404, "open-match-frontend:51504": 404, "Open-Match-Query": 404, "open-match-backend.open-match:51505": 404,
		"open-match-frontend.open-match.svc": 404, "open-match-frontend.open-match.svc.cluster.local": 404,
		"printer": 421, "printer.local": 421, "vm.internal": 421, "om.test": 421, "om.localhost": 421,
		"open-match-frontend.com": 421, "open-match-frontend.local": 421, "open-match-frontend.evil.svc.cluster.local": 421,
		"elsewhere.example.com": 421, "elsewhere.example.com:51504": 421, "1.2.3.4": 421, "localhost.evil.com": 421, "": 404,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, om.frontendURL+"tickets/none", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close(); resp.StatusCode != want {
			t.Errorf("%q: %d, want %d", host, resp.StatusCode, want)
		}
	}
}

func TestPagesOfOtherOriginsAreRefused(t *testing.T) {
	om := start(t, func(*minimatch.Config) {})
	req, err := http.NewRequest("POST", om.frontendURL+"tickets", strings.NewReader(`{"ticket":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Origin", "https://elsewhere.example")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("a page of another origin got %d", resp.StatusCode)
	}
}

// restFunction serves the match function of a test over REST.
func (om *openMatch) restFunction(t *testing.T, handle http.HandlerFunc) *openmatch.FetchMatchesRequest {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/matchfunction:run", handle)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	req := om.request("rest")
	req.Config = function(server.Listener.Addr().String())
	req.Config.Type = openmatch.FunctionConfig_REST
	return req
}

func asJSON(m *openmatch.Match) string {
	text, _ := protojson.Marshal(&openmatch.RunResponse{Proposal: m})
	return `{"result":` + string(text) + "}\n"
}

func TestAMatchFunctionOverREST(t *testing.T) {
	om := start(t)
	a, b := om.ticket(), om.ticket()
	var profile openmatch.RunRequest
	req := om.restFunction(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if err := protojson.Unmarshal(body, &profile); err != nil {
			t.Error(err)
		}
		fmt.Fprint(w, asJSON(om.match("one", a)), asJSON(om.match("two", b)))
	})
	om.expectFetch(om.fetch(t.Context(), req), codes.OK, "one", "two")
	if profile.GetProfile().GetName() != "rest" {
		t.Errorf("it was asked for %v", &profile)
	}
	om.expectWaiting()
}

func TestAMatchFunctionOverRESTThatFails(t *testing.T) {
	om := start(t, func(*minimatch.Config) {})
	for name, c := range map[string]struct {
		body   string
		status int
		want   string
		ids    []string
	}{
		"midway":   {asJSON(om.match("midway", om.ticket())) + `{"error":{"message":"broken"}}`, 200, "broken", []string{"midway"}},
		"rubbish":  {"<html>", 200, "result or an error", nil},
		"half":     {`{"result":{"proposal":{"match`, 200, "result or an error", nil},
		"status":   {`{"message":"not now"}`, 503, "503", nil},
		"redirect": {"", 307, "307", nil},
	} {
		t.Run(name, func(t *testing.T) {
			req := om.restFunction(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(c.status)
				fmt.Fprint(w, c.body)
			})
			got := om.fetch(t.Context(), req)
			om.expectFetch(got, codes.Unknown, c.ids...)
			if !strings.Contains(status.Convert(got.err).Message(), c.want) {
				t.Errorf("got %v, want %q", got.err, c.want)
			}
		})
	}
}

func TestAMatchFunctionOverRESTThatHangsIsCut(t *testing.T) {
	om := startOwn(t, func(c *minimatch.Config) { c.ProposalCollectionInterval = collection }) // the real one cuts it off by its HTTP client's 3 s
	a := om.ticket()
	left := make(chan struct{})
	req := om.restFunction(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, asJSON(om.match("before", a)))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		close(left)
	})
	om.expectFetch(om.fetch(t.Context(), req), codes.Unknown, "before")
	<-left
}

// restEvaluator serves an evaluator over REST, which reads all proposals and
// then answers, and returns its address.
func restEvaluator(t *testing.T, addr string, answer func(w http.ResponseWriter, r *http.Request, ids []string)) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/evaluator/matches:evaluate", func(w http.ResponseWriter, r *http.Request) {
		var ids []string
		decoder := json.NewDecoder(r.Body)
		for {
			var raw json.RawMessage
			if decoder.Decode(&raw) != nil {
				break
			}
			var req openmatch.EvaluateRequest
			if err := protojson.Unmarshal(raw, &req); err != nil {
				t.Error(err)
			}
			ids = append(ids, req.GetMatch().GetMatchId())
		}
		answer(w, r, ids)
	})
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: mux}}
	server.Start()
	t.Cleanup(server.Close)
	return l.Addr().String()
}

func TestAnEvaluatorOverREST(t *testing.T) {
	addr := restEvaluator(t, "127.0.0.1:0", func(w http.ResponseWriter, _ *http.Request, ids []string) {
		for _, id := range append(ids, "unknown", ids[0]) {
			if !strings.HasSuffix(id, "rejected") {
				fmt.Fprintf(w, "{\"result\":{\"match_id\":%q}}\n", id)
			}
		}
	})
	om := start(t, func(c *minimatch.Config) { c.EvaluatorREST = addr })
	a, b := om.ticket(), om.ticket()
	om.proposing("p", om.match("accepted", a), om.match("rejected", b))
	om.expectFetch(om.fetch(t.Context(), om.request("p")), codes.OK, "accepted")
	om.expectWaiting(b)
}

func TestAnEvaluatorOverRESTThatFails(t *testing.T) {
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request, []string){
		"status":  func(w http.ResponseWriter, _ *http.Request, _ []string) { http.Error(w, "no", http.StatusTeapot) },
		"error":   func(w http.ResponseWriter, _ *http.Request, _ []string) { fmt.Fprint(w, `{"error":{"message":"no"}}`) },
		"rubbish": func(w http.ResponseWriter, _ *http.Request, _ []string) { fmt.Fprint(w, `ok`) },
		"cut":     func(http.ResponseWriter, *http.Request, []string) { panic(http.ErrAbortHandler) },
		"hangs":   func(_ http.ResponseWriter, r *http.Request, _ []string) { <-r.Context().Done() },
	} {
		t.Run(name, func(t *testing.T) {
			addr := restEvaluator(t, "127.0.0.1:0", answer)
			om := start(t, func(c *minimatch.Config) { c.EvaluatorREST = addr })
			a := om.ticket()
			om.proposing("p", om.match("m", a))
			got := om.fetch(t.Context(), om.request("p"))
			om.expectFetch(got, codes.Unknown)
			want := map[string]string{"status": `status 418: "no"`, "error": `the error "no"`, "rubbish": "not one of objects"}[name]
			if !strings.Contains(fmt.Sprint(got.err), want) || strings.Contains(fmt.Sprint(got.err), addr) {
				t.Errorf("%v, want %q and no address", got.err, want)
			}
			om.expectWaiting(a)
		})
	}
}

func TestAnEvaluatorOverRESTThatIsNotThere(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	addr := server.Listener.Addr().String()
	server.Close()
	om := start(t, func(c *minimatch.Config) { c.EvaluatorREST = addr })
	om.proposing("p", om.match("m", om.ticket()))
	got := om.fetch(t.Context(), om.request("p"))
	om.expectFetch(got, codes.Unknown)
	if !strings.Contains(fmt.Sprint(got.err), "cannot be reached") || strings.Contains(fmt.Sprint(got.err), addr) {
		t.Error(got.err)
	}
}

// FuzzREST sends any body to any route: minimatch blames the request, and goes on.
func FuzzREST(f *testing.F) {
	om := start(f, func(c *minimatch.Config) { c.RegistrationInterval = time.Millisecond })
	base := strings.TrimSuffix(om.frontendURL, "/v1/frontendservice/")
	routes := []string{
		"POST /v1/frontendservice/tickets", "POST /v1/frontendservice/backfills", "PATCH /v1/frontendservice/backfills",
		"POST /v1/frontendservice/backfills/x/acknowledge", "POST /v1/backendservice/tickets:assign",
		"POST /v1/backendservice/tickets:release", "POST /v1/backendservice/tickets:releaseall",
		"POST /v1/queryservice/tickets:query", "POST /v1/queryservice/ticketids:query", "POST /v1/queryservice/backfills:query",
	}
	for i := range routes {
		for _, body := range []string{`{"ticket":{}}`, `{"pool":{"created_before":"2026-01-01T00:00:00Z"}}`, `{"backfill":{"id":"x"}}`, "[", ""} {
			f.Add(uint8(i), body)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, body string) {
		method, path, _ := strings.Cut(routes[int(which)%len(routes)], " ")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, method, base+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode >= 500 {
			text, _ := io.ReadAll(resp.Body)
			t.Errorf("%s %q answered %d %s", routes[int(which)%len(routes)], body, resp.StatusCode, text)
		}
	})
}
