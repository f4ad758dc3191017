//go:build linux

package directors_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"torikumi/local/suite"
	"torikumi/pkg/eventually"
	"torikumi/pkg/redistest"
)

// How long players may take to accept: more than a busy machine needs, and less where the
// test waits for the end of it.
const (
	long  = 30 * time.Second
	short = 10 * time.Second
)

// accepting is a suite whose players are asked before they get a server.
func accepting(t *testing.T, size int, limit time.Duration, extra ...string) *harness {
	t.Helper()
	// Nine tenths of it are for the players, for the match time-out, and for 4 s more.
	hidden := "--pending-release-timeout=" + ((limit + 15*time.Second) * 10 / 9).Truncate(time.Second).String()
	file := filepath.Join(t.TempDir(), "queues.yaml")
	text := fmt.Sprintf("queues: [{name: session, teams: [{name: all, players: %d}], skill: {attribute: skill, window: 1000}, acceptance: {time_limit: %v}}]", size, limit)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	h := newHarness(t, map[string][]string{
		suite.Minimatch: {hidden},
		suite.Director:  append([]string{"--queues=" + file, hidden, "--match-timeout=10s"}, extra...),
		suite.Frontend:  append([]string{"--queues=" + file}, extra...),
	})
	h.subscribed(1)
	return h
}

// ticketNow reads a player's ticket.
func (p *player) ticketNow() playerTicket {
	p.h.t.Helper()
	got, err := p.call(http.MethodGet, "/v1/tickets/"+p.ticket, "")
	if err != nil {
		p.h.t.Fatal(err)
	}
	return got
}

// becomes waits until a player's ticket has a state.
func (p *player) becomes(state string) playerTicket {
	p.h.t.Helper()
	var got playerTicket
	eventually.True(p.h.t, p.id+" is "+state, func() bool { got = p.ticketNow(); return got.State == state })
	return got
}

// asked waits until a player is asked by another proposal than one.
func (p *player) asked(before string) (proposal string) {
	p.h.t.Helper()
	eventually.Within(p.h.t, time.Minute, p.id+" is asked", func() error {
		got := p.ticketNow()
		if got.State == "ACCEPTING" {
			proposal = got.Acceptance.ProposalID
		}
		if got.State != "ACCEPTING" || proposal == before {
			return errors.New(got.State)
		}
		return nil
	})
	return proposal
}

// answers accepts or declines, and compares the beginning of the error; empty for none.
func (p *player) answers(answer, proposal, want string) playerTicket {
	p.h.t.Helper()
	got, err := p.call(http.MethodPost, "/v1/tickets/"+p.ticket+"/"+answer+"?proposal_id="+proposal, "")
	if text := fmt.Sprint(err); want == "" && err != nil || want != "" && !strings.HasPrefix(text, want) {
		p.h.t.Errorf("%s: %s of %q: %v, want %q", p.id, answer, proposal, err, want)
	}
	return got
}

// noServer checks that no game server is allocated.
func (h *harness) noServer() {
	h.t.Helper()
	if n := len(h.rosters()); n != 0 {
		h.t.Errorf("%d servers are allocated", n)
	}
}

// together waits until players are sent to one server.
func together(players ...*player) {
	for _, p := range players[1:] {
		if one, other := players[0].assigned(), p.assigned(); one != other {
			p.h.t.Errorf("%s is at %s, %s at %s", players[0].id, one, p.id, other)
		}
	}
}

// TestAccepted: a match gets its server when all of its players have accepted, and not
// before.
func TestAccepted(t *testing.T) {
	h := accepting(t, 2, long)
	ann, bob := h.wants("ann", h.suite.URL(), 1000), h.wants("bob", h.suite.URL(), 1000)
	proposal := ann.asked("")
	if other := bob.asked(""); other != proposal {
		t.Errorf("ann is asked for %q, bob for %q", proposal, other)
	}
	eve := &player{h: h, id: "eve", frontend: ann.frontend, ticket: ann.ticket}
	eve.answers("accept", proposal, "404")
	eve.answers("decline", proposal, "404")
	ann.answers("accept", "another", "409")
	ann.answers("decline", "another", "409")
	h.noServer()
	for range 2 {
		if got := ann.answers("accept", proposal, ""); got.State != "ACCEPTING" || !slices.Equal(got.Acceptance.Accepted, []string{"ann"}) || got.Acceptance.Players != 2 {
			t.Errorf("ann has accepted: %+v", got)
		}
	}
	if got := bob.ticketNow(); got.State != "ACCEPTING" || len(got.Acceptance.Accepted) != 0 {
		t.Errorf("bob has not: %+v", got)
	}
	h.noServer()
	bob.answers("accept", "", "")
	together(ann, bob)
	ann.answers("accept", proposal, "") // the answer may have been lost
	ann.answers("decline", proposal, "409")
}

// TestDeclined: who declines is out, and the others search on as if nothing had been.
func TestDeclined(t *testing.T) {
	h := accepting(t, 2, long)
	ann, bob := h.wants("ann", h.suite.URL(), 1000), h.wants("bob", h.suite.URL(), 1000)
	created := ann.ticketNow().CreateTime
	proposal := ann.asked("")
	bob.asked("")
	ann.answers("accept", proposal, "")
	for range 2 {
		if got := bob.answers("decline", proposal, ""); got.State != "CANCELLED" || got.Reason != "a player has declined the match" {
			t.Errorf("bob has declined: %+v", got)
		}
	}
	bob.answers("accept", proposal, "409")
	if got := ann.becomes("SEARCHING"); got.CreateTime != created {
		t.Errorf("ann waits since %s, and has since %s", got.CreateTime, created)
	}
	ann.answers("accept", proposal, "409")
	h.noServer()
	eve := h.wants("eve", h.suite.URL(), 1000)
	next := ann.asked(proposal)
	eve.asked("")
	ann.answers("accept", proposal, "409")
	ann.answers("accept", next, "")
	eve.answers("accept", next, "")
	together(ann, eve)
}

// TestLapsed: who does not answer is out; who has accepted, cancelled and gone before is as
// anywhere.
func TestLapsed(t *testing.T) {
	h := accepting(t, 2, short)
	ann, bob := h.wants("ann", h.suite.URL(), 1000), h.wants("bob", h.suite.URL(), 1000)
	proposal := ann.asked("")
	bob.asked("")
	ann.answers("accept", proposal, "")
	if got := bob.becomes("CANCELLED"); got.Reason != "the match was not accepted in time" {
		t.Errorf("bob is out: %+v", got)
	}
	bob.answers("accept", proposal, "409")
	ann.becomes("SEARCHING")
	h.noServer()

	eve := h.wants("eve", h.suite.URL(), 1000)
	next := ann.asked(proposal)
	eve.asked("")
	ann.answers("accept", next, "")
	if _, err := eve.call(http.MethodDelete, "/v1/tickets/"+eve.ticket, ""); err != nil {
		t.Fatal(err)
	}
	ann.becomes("SEARCHING")
	h.noServer()
}

// TestPartyAccepts: of a party every player is asked.
func TestPartyAccepts(t *testing.T) {
	h := accepting(t, 3, long)
	lead := &player{h: h, id: "lead", frontend: h.suite.URL()}
	skill := `{"attributes":{"skill":{"number":1000}}}`
	made, err := lead.call(http.MethodPost, "/v1/tickets", `{"queue":"session","region":"eu","players":[`+skill+`],"party":{"size":2}}`)
	if err != nil {
		t.Fatal(err)
	}
	lead.ticket = made.ID
	mate := &player{h: h, id: "mate", frontend: lead.frontend, ticket: made.ID}
	if _, err := mate.call(http.MethodPost, "/v1/parties/join", fmt.Sprintf(`{"code":%q,"player":%s}`, made.Party.Code, skill)); err != nil {
		t.Fatal(err)
	}
	ann := h.wants("ann", lead.frontend, 1000)
	proposal := lead.asked("")
	ann.asked("")
	ann.answers("accept", proposal, "")
	lead.answers("accept", proposal, "")
	if got := mate.ticketNow(); got.State != "ACCEPTING" || !slices.Equal(got.Acceptance.Accepted, []string{"lead"}) || got.Acceptance.Players != 3 {
		t.Errorf("mate has not accepted: %+v", got)
	}
	h.noServer()
	mate.answers("accept", proposal, "")
	together(lead, mate, ann)
}

// TestPlayAccepts: GET /play accepts by itself.
func TestPlayAccepts(t *testing.T) {
	h := accepting(t, 2, long)
	h.assigned(h.play(3))
}

// TestAskingDirectorKilled: when the director that asks dies, those who have accepted are
// asked again by another, as soon as Open Match shows their tickets.
func TestAskingDirectorKilled(t *testing.T) {
	h := accepting(t, 2, short)
	mortal := h.process(h.at(2), "--gate-listen=127.0.0.1:0")
	resolver.set(t, h.at(2))
	h.suite.Instance(suite.Director).Stop() // was there for the suite to start
	h.subscribed(1)
	ann, bob := h.wants("ann", h.suite.URL(), 1000), h.wants("bob", h.suite.URL(), 1000)
	proposal := ann.asked("")
	bob.asked("")
	ann.answers("accept", proposal, "")
	mortal.signal(t, syscall.SIGKILL)
	bob.answers("accept", proposal, "") // nobody hears it
	h.more(t, h.at(3))
	resolver.set(t, h.at(3))
	next := ann.asked(proposal)
	bob.asked(proposal)
	ann.answers("accept", next, "")
	bob.answers("accept", next, "")
	together(ann, bob)
}

// TestDeafFrontend: what players have answered at a frontend that cannot tell any director,
// and dies, the others tell; and with two directors each match has one server.
func TestDeafFrontend(t *testing.T) {
	redistest.Each(t, func(t *testing.T, address string) {
		h := accepting(t, 2, long, "--redis=redis://"+address)
		h.more(t, h.at(2))
		resolver.set(t, h.at(1), h.at(2))
		h.subscribed(2)
		deaf := h.another(t, suite.Frontend, "--directors=127.0.0.1:1")
		url := "http://" + deaf.Addrs().HTTP
		ann, bob := h.wants("ann", url, 1000), h.wants("bob", url, 1000)
		proposal := ann.asked("")
		bob.asked("")
		ann.answers("accept", proposal, "")
		bob.answers("accept", proposal, "")
		deaf.Stop()
		ann.frontend, bob.frontend = h.suite.URL(), h.suite.URL()
		together(ann, bob)
		if n := len(h.rosters()); n != 1 {
			t.Errorf("%d servers are allocated", n)
		}
	})
}
