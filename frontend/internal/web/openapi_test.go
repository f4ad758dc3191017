package web

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"torikumi/frontend/internal/api"
	"torikumi/pkg/problem"
	"torikumi/pkg/queues"
)

func newTestServer() *server {
	return newServer(Options{Service: api.New(api.Options{Queues: queues.Default()}), Auth: &api.Authenticator{}, Registry: prometheus.NewRegistry()})
}

func get(h http.Handler, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, http.NoBody))
	return w
}

// openToAll are the routes that need no token.
var openToAll = map[string]bool{"GET /v1/regions": true}

// TestEveryRouteIsDocumented: a route is in the OpenAPI document and in
// docs/api.md, and needs a token unless it is open to all.
func TestEveryRouteIsDocumented(t *testing.T) {
	s := newTestServer()
	h := s.mux
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID, Summary string
			Responses            map[string]json.RawMessage
			Security             *[]json.RawMessage
		}
	}
	if err := json.Unmarshal(get(h, "GET", "/openapi.json").Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	documented, ids := 0, map[string]bool{}
	for _, operations := range doc.Paths {
		documented += len(operations)
	}
	if documented != len(s.routes()) {
		t.Errorf("/openapi.json has %d operations, there are %d routes", documented, len(s.routes()))
	}
	for _, rt := range s.routes() {
		op := doc.Paths[rt.path][strings.ToLower(rt.method)]
		if op.Summary == "" || op.OperationID == "" || ids[op.OperationID] || len(op.Responses) < 2 {
			t.Errorf("%s %s in /openapi.json: %q, %q, %d answers; needs a summary, an id of its own and an answer that is no problem",
				rt.method, rt.path, op.OperationID, op.Summary, len(op.Responses))
		}
		ids[op.OperationID] = true
		if !strings.Contains(string(page), "`"+rt.method+" "+rt.path+"`") {
			t.Errorf("%s %s is not in docs/api.md", rt.method, rt.path)
		}
		path := regexp.MustCompile(`{\w+}`).ReplaceAllString(rt.path, "x")
		if open := openToAll[rt.String()]; rt.public != open || (op.Security != nil) != open {
			t.Errorf("%s asks for no token: %v, and its document says so: %v; want %v", rt.String(), rt.public, op.Security != nil, open)
		} else if w := get(h, rt.method, path); open && w.Code != http.StatusOK {
			t.Errorf("%s without token: %d %s", rt.String(), w.Code, w.Body)
		} else if !open && (w.Code != http.StatusUnauthorized || w.Header().Get("Content-Type") != problem.ContentType) {
			t.Errorf("%s %s without token: %d %s", rt.method, path, w.Code, w.Body)
		}
		if w := get(h, http.MethodPut, path); w.Code != http.StatusMethodNotAllowed || !strings.Contains(w.Header().Get("Allow"), rt.method) {
			t.Errorf("PUT %s: %d, Allow: %q", path, w.Code, w.Header().Get("Allow"))
		}
		if w := get(h, http.MethodHead, path); w.Code != http.StatusMethodNotAllowed {
			t.Errorf("HEAD %s: %d", path, w.Code)
		}
	}
}

// TestSchemaHasLimits: what the service checks stands in the document.
func TestSchemaHasLimits(t *testing.T) {
	var doc struct {
		Components struct {
			Schemas map[string]struct {
				Required                     []string
				MinProperties, MaxProperties int
				Properties                   map[string]struct {
					Pattern                  string
					MaxProperties, MaxLength int
					PropertyNames            struct{ Pattern string }
					AdditionalProperties     struct{ Minimum, Maximum float64 }
				}
			}
		}
	}
	if err := json.Unmarshal(get(newTestServer().mux, "GET", "/openapi.json").Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	schemas := doc.Components.Schemas
	player := schemas["Player"].Properties
	for what, ok := range map[string]bool{
		"queue is required":      len(schemas["CreateTicketRequest"].Required) == 1,
		"id":                     strings.Contains(player["id"].Pattern, "{1,128}"),
		"attributes":             player["attributes"].MaxProperties == 64 && strings.Contains(player["attributes"].PropertyNames.Pattern, "{0,62}"),
		"latencies":              player["latencies"].AdditionalProperties.Maximum == 60_000,
		"an attribute is one of": schemas["Attribute"].MinProperties == 1 && schemas["Attribute"].MaxProperties == 1,
		"a text":                 schemas["Attribute"].Properties["string"].MaxLength == 256,
	} {
		if !ok {
			t.Errorf("the schema does not say: %s", what)
		}
	}
}
