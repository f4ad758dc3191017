package frontend_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"torikumi/pkg/eventually"
	"torikumi/pkg/problem"
	"torikumi/pkg/rpc"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// ask makes a ticket with a request that has these keys.
func (s *harness) ask(raw, body string, keys ...string) reply {
	s.t.Helper()
	return s.request(s.asking(raw, body, keys...))
}

// asking is the request of ask.
func (s *harness) asking(raw, body string, keys ...string) *http.Request {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), "POST", s.url+"/v1/tickets", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+raw)
	for _, k := range keys {
		req.Header.Add("Idempotency-Key", k)
	}
	return req
}

const inEU = `{"queue":"session","region":"eu"}`

// A request that is made again with its key makes no other ticket, at whichever
// frontend, by whichever protocol, and whatever has become of the first.
func TestRequestAgain(t *testing.T) {
	a, b, _ := replicas(t)
	alice := a.token("alice")
	made := a.ask(alice, inEU, "k-1").ticket(t)
	for where, s := range map[string]*harness{"here": a, "there": b} {
		if got := s.ask(alice, `{"region":"eu","players":[],"queue":"session"}`, "k-1").ticket(t); got.ID != made.ID || got.State != "SEARCHING" {
			t.Errorf("again, %s: %+v", where, got)
		}
	}
	if got := a.om.find(made.ID); len(got) != 1 {
		t.Errorf("%d tickets in Open Match", len(got))
	}
	reused := problem.New(422, "another request was made with this Idempotency-Key", problem.Field{Field: "Idempotency-Key", Rule: "must be a new one for each request"})
	reused.Reason, reused.TicketID = "idempotency_key_reused", made.ID
	checkProblem(t, b.ask(alice, `{"queue":"session"}`, "k-1"), reused)
	if r := b.ask(alice, inEU, "k-2"); r.code != http.StatusConflict || !strings.Contains(r.body, made.ID) {
		t.Errorf("another request: %d %s", r.code, r.body)
	}
	if got := b.ask(a.token("bob"), inEU, "k-1").ticket(t); got.ID == made.ID {
		t.Error("bob has alice's ticket")
	}
	if r := b.ask(b.serviceToken(), `{"queue":"session","region":"eu","players":[{"id":"alice"}]}`, "k-1"); r.code != http.StatusConflict || !strings.Contains(r.body, "already_searching") {
		t.Errorf("a backend's request with this key: %d %s", r.code, r.body)
	}

	conn, err := rpc.Dial(b.addrs.GRPC)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	call := func(region string) (*torikumiv1.Ticket, error) {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+alice, "idempotency-key", "k-1")
		return torikumiv1.NewFrontendServiceClient(conn).CreateTicket(ctx, &torikumiv1.CreateTicketRequest{Queue: "session", Region: region})
	}
	if got, err := call("eu"); err != nil || got.GetId() != made.ID {
		t.Errorf("over gRPC: %v, %v", got, err)
	}
	if _, err := call(""); status.Code(err) != codes.InvalidArgument {
		t.Errorf("another one over gRPC: %v", err)
	}

	a.director.announce(announcement(nil, a.om.one(t, made.ID).GetId()))
	a.await("alice", made.ID, "ASSIGNED")
	if got := b.ask(alice, inEU, "k-1").ticket(t); got.ID != made.ID || got.Server == nil || got.JoinToken == nil {
		t.Errorf("again, when it has a match: %+v", got)
	}
}

// The same request is the same, however it is written; another is another.
func TestRequestWrittenOtherwise(t *testing.T) {
	const (
		full    = `{"queue":"squad","region":"eu","players":[{"attributes":{"a":{"number":0},"b":{"string_number_map":{"values":{"x":0,"y":1}}}},"latencies":{"eu":1,"us":2}}]}`
		invites = `{"queue":"trio3","party":{"invited":["bob","carol"]}}`
	)
	for name, c := range map[string]struct {
		first       string
		same, other []string
	}{
		"nothing to say": {
			inEU,
			[]string{
				`{"queue":"session","region":"eu","players":[{}]}`, `{"queue":"session","region":"eu","players":[{"id":"CALLER"}]}`, `{"queue":"session","region":"eu","players":null,"party":null}`,
				`{"players":[{"id":"","attributes":{},"latencies":{}}],"region":"eu","queue":"session"}`,
			},
			[]string{`{"queue":"session"}`, `{"queue":"squad","region":"eu"}`, `{"queue":"session","region":"eu","players":[{"latencies":{"eu":0}}]}`},
		},
		"said too much": {`{"queue":"session","region":"eu","players":[{"id":"CALLER"}]}`, []string{inEU, `{"queue":"session","region":"eu","players":[{}]}`}, nil},
		"attributes and latencies": {
			full,
			[]string{
				`{"queue":"squad","region":"eu","players":[{"id":"CALLER","latencies":{"us":2.0,"eu":1},"attributes":{"b":{"string_number_map":{"values":{"y":1e0,"x":-0.0}}},"a":{"number":-0}}}]}`,
				`{"queue":"squad","region":"eu","players":[{"latencies":{"us":2,"eu":1},"attributes":{"b":{"stringNumberMap":{"values":{"y":1,"x":0}}},"a":{"number":"0"}}}]}`,
			},
			[]string{strings.Replace(full, `"us":2`, `"us":3`, 1), strings.Replace(full, `"x":0`, `"x":0.5`, 1), strings.Replace(full, `"us":2`, `"asia":2`, 1)},
		},
		"the size of a party": {
			`{"queue":"squad","party":{"invited":["bob"]}}`,
			[]string{`{"queue":"squad","party":{"invited":["bob"],"size":2}}`, `{"queue":"squad","players":[{}],"party":{"size":2,"invited":["bob"]}}`},
			[]string{`{"queue":"squad","party":{"size":2}}`, `{"queue":"squad","party":{"invited":["carol"]}}`, `{"queue":"squad"}`},
		},
		"the order of a party": {
			invites,
			[]string{`{"queue":"trio3","party":{"invited":["carol","bob"],"size":3}}`},
			[]string{`{"queue":"trio3","party":{"invited":["bob"],"size":3}}`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "queues.yaml")
			writeQueues(t, file, threeSizes)
			s := start(t, func(c *settings) { c.Queues = file })
			caller := "alice"
			as := func(body string) string { return strings.ReplaceAll(body, "CALLER", caller) }
			made := s.ask(s.token(caller), as(c.first), "k").ticket(t)
			for _, body := range c.same {
				if r := s.ask(s.token(caller), as(body), "k"); r.code != http.StatusOK || r.ticket(t).ID != made.ID {
					t.Errorf("the same, as %s: %d %s", body, r.code, r.body)
				}
			}
			for _, body := range c.other {
				if r := s.ask(s.token(caller), as(body), "k"); r.code != http.StatusUnprocessableEntity {
					t.Errorf("another, %s: %d %s", body, r.code, r.body)
				}
			}
		})
	}
}

// threeSizes has queues for one, for two and for three in a team.
const threeSizes = `- {name: session, teams: [{name: a, players: 1}, {name: b, players: 1}], skill: {attribute: skill}}
- {name: squad, teams: [{name: a, players: 2}], skill: {attribute: skill}}
- {name: trio3, teams: [{name: a, players: 3}], skill: {attribute: skill}}
`

// A backend's players are the same in any order; their names are not the caller's to
// leave out.
func TestRequestOfBackendWrittenOtherwise(t *testing.T) {
	s := start(t, nil)
	body := func(players string) string { return `{"queue":"squad","players":[` + players + `]}` }
	made := s.ask(s.serviceToken(), body(`{"id":"bob"},{"id":"alice","latencies":{"eu":1}}`), "k").ticket(t)
	if r := s.ask(s.serviceToken(), body(`{"latencies":{"eu":1},"id":"alice"},{"id":"bob"}`), "k"); r.code != http.StatusOK || r.ticket(t).ID != made.ID {
		t.Errorf("in another order: %d %s", r.code, r.body)
	}
	for _, other := range []string{`{"id":"alice"},{"id":"bob","latencies":{"eu":1}}`, `{"id":"alice","latencies":{"eu":1}}`} {
		if r := s.ask(s.serviceToken(), body(other), "k"); r.code != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d %s", other, r.code, r.body)
		}
	}
}

// During an upgrade a request may come to a frontend of the version before and then to one of
// this, or the other way round: that one keeps and compares the digest of how the request is
// written, under the name rd.
func TestRequestAcrossUpgrade(t *testing.T) {
	a, _, store := replicas(t)
	const body = `{"queue":"session","region":"eu","players":[{"id":"alice"}]}`
	written, err := proto.MarshalOptions{Deterministic: true}.Marshal(
		&torikumiv1.CreateTicketRequest{Queue: "session", Region: "eu", Players: []*torikumiv1.Player{{Id: "alice"}}})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(written)
	before := base64.RawURLEncoding.EncodeToString(sum[:])
	made := a.ask(a.token("alice"), body, "k").ticket(t)
	var hash string
	for _, key := range store.Keys() {
		if strings.HasSuffix(key, "t:"+made.ID) {
			hash = key
		}
	}
	if got := store.HGet(hash, "rd"); got != before {
		t.Errorf("the version before reads %q, and has %q", got, before)
	}
	store.HDel(hash, "ra") // as it keeps it
	if got := a.ask(a.token("alice"), body, "k").ticket(t); got.ID != made.ID {
		t.Errorf("again: %+v", got)
	}
	if r := a.ask(a.token("alice"), `{"queue":"session","region":"us","players":[{"id":"alice"}]}`, "k"); r.code != http.StatusUnprocessableEntity {
		t.Errorf("another: %d %s", r.code, r.body)
	}
}

// A key that is none is refused, with what is wrong with it.
func TestRequestKeys(t *testing.T) {
	s := start(t, nil)
	raw := s.token("alice")
	const rule = "must have 1 to 128 visible characters of ASCII, without spaces"
	checkProblem(t, s.ask(raw, inEU, "a", "b"), bad("Idempotency-Key", "must be given once"))
	for _, key := range []string{"", strings.Repeat("k", 129), "a b", "é"} {
		checkProblem(t, s.ask(raw, inEU, key), bad("Idempotency-Key", rule))
	}
	if s.om.count() != 0 {
		t.Error("a ticket was made")
	}
	s.ask(raw, inEU, strings.Repeat("~", 128)).ticket(t)
}

// A request that comes while Open Match is still asked for its ticket waits for that
// answer; one whose first came to nothing makes the ticket.
func TestRequestMeetsItself(t *testing.T) {
	a, b, _ := replicas(t)
	alice := a.token("alice")
	first, held := make(chan reply, 1), make(chan struct{})
	asked := make(chan struct{})
	a.om.setBeforeReply(func(*openmatch.Ticket) { close(asked); <-held })
	ask := func(s *harness, to chan<- reply) {
		r, err := s.read(s.asking(alice, inEU, "k-1"))
		if err != nil {
			r.body = err.Error()
		}
		to <- r
	}
	go ask(a, first)
	select {
	case <-asked:
	case r := <-first:
		t.Fatalf("answered before Open Match was: %d %s", r.code, r.body)
	}
	a.om.setBeforeReply(nil)
	second := make(chan reply, 1)
	go ask(b, second)
	eventually.True(t, "the second waits", func() bool {
		return b.metric(`torikumi_frontend_http_requests_in_flight{route="POST /v1/tickets"}`) == "1"
	})
	close(held)
	one, two := (<-first).ticket(t), (<-second).ticket(t)
	if one.ID != two.ID || a.om.count() != 1 {
		t.Errorf("%s and %s, %d tickets in Open Match", one.ID, two.ID, a.om.count())
	}

	bob := a.token("bob")
	a.om.setRefuse(status.Error(codes.Unavailable, "away"))
	if r := a.ask(bob, inEU, "k-1"); r.code != http.StatusServiceUnavailable {
		t.Errorf("without Open Match: %d %s", r.code, r.body)
	}
	a.om.setRefuse(nil)
	if got := b.ask(bob, inEU, "k-1").ticket(t); got.State != "SEARCHING" {
		t.Errorf("again, with Open Match: %+v", got)
	}
}

// A request whose answer was lost, at a frontend that is no more, has its ticket when
// it is made again at another.
func TestRequestOutlivesFrontend(t *testing.T) {
	a, b, _ := replicas(t)
	alice := a.token("alice")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	asked := make(chan struct{})
	a.om.setBeforeReply(func(*openmatch.Ticket) { close(asked) })
	req := a.asking(alice, inEU, "k-1").WithContext(ctx)
	answered := make(chan error, 1)
	go func() {
		_, err := a.read(req) // whose answer nobody hears
		answered <- err
	}()
	select {
	case <-asked:
	case err := <-answered:
		t.Fatalf("answered before Open Match was: %v", err)
	}
	a.om.setBeforeReply(nil)
	cancel()
	a.stop()
	if got := b.ask(alice, inEU, "k-1").ticket(t); got.State != "SEARCHING" || len(b.om.find(got.ID)) != 1 || b.om.count() != 1 {
		t.Errorf("again: %+v, %d tickets in Open Match", got, b.om.count())
	}
}
