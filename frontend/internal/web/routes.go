package web

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"torikumi/frontend/internal/api"
	"torikumi/frontend/internal/regions"
	"torikumi/pkg/problem"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// route is one method at one path.
type route struct {
	method, path string
	// operation and summary are for the OpenAPI document, and so are query, header and
	// inPath, the parameters with their schemas, request and response, the messages
	// that the bodies hold as JSON, nil for none, and answers, those that are no message.
	// The request is an example, which the route takes.
	operation, summary string
	query, header      map[string]object
	inPath             map[string]object // those that are not any text
	request, response  proto.Message
	answers            object
	// handle answers a player; an error is answered as a problem.
	handle func(w http.ResponseWriter, r *http.Request, caller api.Caller) error
	// hangUp says that the call ends when the client does not send any more.
	hangUp bool
	// waits says that the call may take long, and ends when the client has gone.
	waits bool
	// authenticate tells who calls; nil: by player token.
	authenticate func(ctx context.Context, authorization []string) (api.Caller, error)
	// public says that anybody may call: who they are is not asked.
	public bool
	// tokens are what is given as Authorization; nil: that header's values.
	tokens func(*http.Request) []string
}

// String is the route as metrics and ServeMux have it.
func (rt *route) String() string { return rt.method + " " + rt.path }

// durationPattern is what [time.ParseDuration] reads, but for what is negative.
const durationPattern = `^[+]?(([0-9]+[.]?[0-9]*|[.][0-9]+)(ns|us|µs|μs|ms|s|m|h))+$`

// eventsRoute is one that goes on without its handler.
const eventsRoute = "GET /v1/tickets/{id}/events"

// routes are all that players can call. Each is also in the OpenAPI document.
func (s *server) routes() []route {
	ticket := new(torikumiv1.Ticket)
	return []route{
		{
			method: "POST", path: "/v1/tickets", handle: s.createTicket,
			operation: "createTicket", summary: "Search for a match", request: s.o.Service.ExampleTicket(), response: ticket,
			header: map[string]object{api.KeyHeader: {
				"type": "string", "pattern": api.KeyPattern, "description": "The client's own name for the request: made again with it, it makes no other ticket.",
			}},
		},
		{
			method: "GET", path: "/v1/tickets", handle: s.listTickets,
			operation: "listTickets", summary: "Where am I? The caller's tickets", response: new(torikumiv1.ListTicketsResponse),
		},
		{method: "GET", path: "/v1/tickets/{id}", handle: s.getTicket, operation: "getTicket", summary: "Read a ticket", response: ticket},
		{method: "DELETE", path: "/v1/tickets/{id}", handle: s.cancelTicket, operation: "cancelTicket", summary: "Cancel a ticket", response: ticket},
		{
			method: "GET", path: "/v1/tickets/{id}/wait", handle: s.waitTicket, waits: true, operation: "waitTicket", summary: "Wait for the end of a ticket", response: ticket,
			query: map[string]object{"timeout": {"type": "string", "default": "30s", "pattern": durationPattern, "description": `More than 0s and at most 60s, as in "1.5s".`}},
		},
		{
			method: "GET", path: "/v1/tickets/{id}/events", handle: s.events,
			operation: "followTicket", summary: "Follow a ticket: server-sent events",
			header: map[string]object{"Last-Event-ID": {"type": "string", "description": "The id of the last event that the client has."}},
			answers: object{
				"200": object{"description": "Events ticket with a Ticket, and problem with a Problem", "content": object{"text/event-stream": object{"schema": object{"type": "string"}}}},
				"204": object{"description": "Nothing will come after the event that Last-Event-ID names"},
			},
		},
		{
			method: "GET", path: "/v1/tickets/{id}/websocket", handle: s.webSocket, tokens: webSocketTokens,
			operation: "followTicketByWebSocket", summary: "Follow a ticket: WebSocket",
			answers: object{"101": object{"description": "Messages ticket with a Ticket, and problem with a Problem"}},
			query:   map[string]object{lastEventID: {"type": "string", "description": "The id of the last message that the client has."}},
		},
		{
			method: "POST", path: "/v1/tickets/{id}/join-token", handle: s.createJoinToken,
			operation: "createJoinToken", summary: "Make another join token", response: new(torikumiv1.JoinToken),
		},
		{
			method: "POST", path: "/v1/tickets/{id}/start", handle: s.startTicket,
			operation: "startTicket", summary: "Search with those of the party who are there", response: ticket,
		},
		{
			method: "POST", path: "/v1/tickets/{id}/accept", handle: answerProposal(s.o.Service.Accept),
			operation: "acceptTicket", summary: "Accept the match that is proposed", response: ticket, query: proposalQuery(),
		},
		{
			method: "POST", path: "/v1/tickets/{id}/decline", handle: answerProposal(s.o.Service.Decline),
			operation: "declineTicket", summary: "Decline the match that is proposed: ends the ticket", response: ticket, query: proposalQuery(),
		},
		{
			method: "DELETE", path: "/v1/tickets/{id}/players/{player}", handle: s.removePlayer,
			operation: "removePlayer", summary: "Leave a ticket, or remove a player from the party", response: new(torikumiv1.RemovePlayerResponse),
		},
		{
			method: "POST", path: "/v1/parties/join", handle: s.joinParty,
			operation: "joinParty", summary: "Join a party by its code", request: s.o.Service.ExampleJoin(), response: ticket,
		},
		{
			method: "GET", path: "/v1/regions", handle: s.listRegions, public: true,
			operation: "listRegions", summary: "List the regions, and where latencies to them are measured", response: new(torikumiv1.ListRegionsResponse),
		},
		{
			method: "GET", path: "/play/{region}", handle: s.play, hangUp: true, authenticate: s.o.Auth.CallerOrShared,
			operation: "play", summary: "Search, wait and answer in one call",
			inPath: map[string]object{"region": {"type": "string", "pattern": regions.NamePattern}},
			query: map[string]object{
				"skill":   {"type": "number", "default": defaultSkill},
				"latency": {"type": "integer", "default": defaultLatency, "minimum": 0, "maximum": 60_000},
			},
			answers: playAnswers(),
		},
	}
}

func (s *server) createTicket(w http.ResponseWriter, r *http.Request, caller api.Caller) error {
	if _, err := query(r); err != nil {
		return err
	}
	req := new(torikumiv1.CreateTicketRequest)
	if err := decode(r, req, s.o.Service.ExampleTicket); err != nil {
		return err
	}
	return reply(w)(s.o.Service.Create(r.Context(), caller, r.Header.Values(api.KeyHeader), req))
}

func (s *server) listTickets(w http.ResponseWriter, r *http.Request, caller api.Caller) error {
	if _, err := query(r); err != nil {
		return err
	}
	list, err := s.o.Service.List(r.Context(), caller)
	return write(w, list, err)
}

func (s *server) getTicket(w http.ResponseWriter, r *http.Request, caller api.Caller) error {
	if _, err := query(r); err != nil {
		return err
	}
	return reply(w)(s.o.Service.Get(r.Context(), caller, r.PathValue("id")))
}

func (s *server) cancelTicket(w http.ResponseWriter, r *http.Request, caller api.Caller) error {
	if _, err := query(r); err != nil {
		return err
	}
	return reply(w)(s.o.Service.Cancel(r.Context(), caller, r.PathValue("id")))
}

func (s *server) waitTicket(w http.ResponseWriter, r *http.Request, caller api.Caller) error {
	values, err := query(r, "timeout")
	if err != nil {
		return err
	}
	timeout := api.DefaultWait
	if values.Has("timeout") {
		if timeout, err = time.ParseDuration(values.Get("timeout")); err != nil {
			return refuse(http.StatusBadRequest, "the request cannot be read", problem.Field{Field: "timeout", Rule: `must be a duration such as "30s"`})
		}
	}
	return reply(w)(s.o.Service.Wait(r.Context(), caller, r.PathValue("id"), timeout))
}

func (s *server) createJoinToken(w http.ResponseWriter, r *http.Request, caller api.Caller) error {
	if _, err := query(r); err != nil {
		return err
	}
	token, err := s.o.Service.JoinToken(r.Context(), caller, r.PathValue("id"))
	return write(w, token, err)
}

func (s *server) startTicket(w http.ResponseWriter, r *http.Request, caller api.Caller) error {
	if _, err := query(r); err != nil {
		return err
	}
	return reply(w)(s.o.Service.Start(r.Context(), caller, r.PathValue("id")))
}

// proposalID is the parameter for the proposal that is answered.
const proposalID = "proposal_id"

func proposalQuery() map[string]object {
	return map[string]object{proposalID: {"type": "string", "description": "The acceptance's proposal_id; none: whatever is proposed."}}
}

// answerProposal handles an answer to a proposal.
func answerProposal(
	answer func(ctx context.Context, caller api.Caller, id, proposal string) (*torikumiv1.Ticket, error),
) func(http.ResponseWriter, *http.Request, api.Caller) error {
	return func(w http.ResponseWriter, r *http.Request, caller api.Caller) error {
		values, err := query(r, proposalID)
		if err != nil {
			return err
		}
		return reply(w)(answer(r.Context(), caller, r.PathValue("id"), values.Get(proposalID)))
	}
}

func (s *server) removePlayer(w http.ResponseWriter, r *http.Request, caller api.Caller) error {
	if _, err := query(r); err != nil {
		return err
	}
	return write(w, new(torikumiv1.RemovePlayerResponse), s.o.Service.RemovePlayer(r.Context(), caller, r.PathValue("id"), r.PathValue("player")))
}

func (s *server) joinParty(w http.ResponseWriter, r *http.Request, caller api.Caller) error {
	if _, err := query(r); err != nil {
		return err
	}
	req := new(torikumiv1.JoinPartyRequest)
	if err := decode(r, req, s.o.Service.ExampleJoin); err != nil {
		return err
	}
	return reply(w)(s.o.Service.JoinParty(r.Context(), caller, req))
}

// regionsCached is how long caches may keep the regions, which are the same for everybody.
const regionsCached = time.Minute

func (s *server) listRegions(w http.ResponseWriter, r *http.Request, _ api.Caller) error {
	if _, err := query(r); err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "public, max-age="+strconv.Itoa(int(regionsCached.Seconds())))
	return write(w, s.o.Service.ListRegions(), nil)
}

// reply sends a ticket, or passes the error on.
func reply(w http.ResponseWriter) func(*torikumiv1.Ticket, error) error {
	return func(t *torikumiv1.Ticket, err error) error { return write(w, t, err) }
}

func write(w http.ResponseWriter, m proto.Message, err error) error {
	if err != nil {
		return err
	}
	// A list without anything is answered as [], for clients that go through it.
	body, err := protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: proto.Size(m) == 0}.Marshal(m)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(body, '\n')) // the client is gone if this fails
	return nil
}

// query reads the parameters, each of which has to be known and given once.
func query(r *http.Request, known ...string) (url.Values, error) {
	values, wrong := parameters(r)
	for name, given := range values {
		switch {
		case name == "":
			wrong = append(wrong, problem.Field{Field: "query", Rule: "must not have a parameter with an empty name"})
		case !slices.Contains(known, name):
			wrong = append(wrong, problem.Field{Field: short(name), Rule: "unknown parameter"})
		case len(given) != 1:
			wrong = append(wrong, problem.Field{Field: name, Rule: "must be given once"})
		}
	}
	if len(wrong) == 0 {
		return values, nil
	}
	slices.SortFunc(wrong, func(a, b problem.Field) int { return strings.Compare(a.Field, b.Field) })
	return nil, refuse(http.StatusBadRequest, "the request cannot be read", wrong[:min(len(wrong), maxFaults)]...)
}

// parameters reads a query and says which of its parts are none: the standard
// library drops those.
func parameters(r *http.Request) (url.Values, []problem.Field) {
	values := make(url.Values)
	var wrong []problem.Field
	for part := range strings.SplitSeq(r.URL.RawQuery, "&") {
		if part == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(part, "=")
		name, nameErr := url.QueryUnescape(rawName)
		value, valueErr := url.QueryUnescape(rawValue)
		field := name
		if field == "" || nameErr != nil || !utf8.ValidString(name) || strings.Contains(rawName, ";") {
			field = "query"
		}
		if nameErr != nil || valueErr != nil || strings.Contains(part, ";") || !utf8.ValidString(name+value) {
			wrong = append(wrong, problem.Field{Field: short(field), Rule: "must be written as in URLs: & between parameters, others than letters and digits as %XX of their UTF-8"})
			continue
		}
		values[name] = append(values[name], value)
	}
	return values, wrong
}

// short bounds a client's own words in an answer.
func short(name string) string {
	if len(name) > maxPath {
		return strings.ToValidUTF8(name[:maxPath], "") + "…"
	}
	return name
}
