package redisstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"torikumi/frontend/internal/ticket"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// hashFields are those of a ticket's hash: version, state, queue and players,
// Open Match ticket, times of creation and update in ns, connection and details
// of the assignment, the party as JSON, the group, why it was cancelled or has expired, if its state does not say so, and the acceptance as JSON. Besides them it has o, the last change, m, its member in the
// lists, r, rd and, if it is another, ra, key of the request and its digests as it is written
// and of what it asks for, and once it is assigned h, its players, a
// line each.
var hashFields = []string{"v", "s", "p", "om", "n", "u", "c", "d", "g", "k", "e", "q"}

// encode writes what only changes with the party of a ticket.
func encode(t *ticket.Ticket) ([]byte, error) {
	b, err := proto.Marshal(&torikumiv1.Ticket{Queue: t.Queue, Region: t.Region, Players: t.Players})
	if err != nil {
		return nil, fmt.Errorf("encode ticket %q: %w", t.ID, err)
	}
	return b, nil
}

// decode reads a ticket and its version. The error is ticket.ErrNotFound if there
// is none.
func decode(id string, fields []any) (ticket.Ticket, string, error) {
	if len(fields) != len(hashFields) || fields[0] == nil {
		return ticket.Ticket{}, "", ticket.ErrNotFound
	}
	text := func(i int) string { s, _ := fields[i].(string); return s } // nil is ""
	bad := func(err error) (ticket.Ticket, string, error) {
		return ticket.Ticket{}, "", fmt.Errorf("ticket %q in Redis: %w", id, err)
	}
	var static torikumiv1.Ticket
	if err := proto.Unmarshal([]byte(text(2)), &static); err != nil {
		return bad(err)
	}
	state, err := strconv.ParseUint(text(1), 10, 8)
	if err != nil || !ticket.State(state).Valid() {
		return bad(fmt.Errorf("state %q", text(1)))
	}
	created, err := nanos(text(4))
	if err != nil {
		return bad(err)
	}
	updated, err := nanos(text(5))
	if err != nil {
		return bad(err)
	}
	t := ticket.Ticket{
		ID: id, Queue: static.GetQueue(), Region: static.GetRegion(), Players: static.GetPlayers(), State: ticket.State(state),
		Created: created, Updated: updated, OpenMatchID: text(3),
	}
	t.Group, t.Reason = text(9), t.State.Reason()
	if why := text(10); t.Ended() && why != "" {
		t.Reason = why
	}
	if t.Party, err = decodeParty(text(8)); err != nil {
		return bad(err)
	}
	if t.Acceptance, err = decodeAcceptance(text(11)); err != nil {
		return bad(err)
	}
	if t.State == ticket.Accepting && t.Acceptance == nil {
		return bad(errors.New("accepting without what"))
	}
	if t.State == ticket.Assigned {
		if t.Assignment, err = decodeAssignment(text(6), text(7)); err != nil {
			return bad(err)
		}
	}
	return t, text(0), nil
}

func nanos(text string) (time.Time, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("time %q", text)
	}
	return time.Unix(0, n), nil
}

// encodeAssignment writes an assignment, nil as two empty texts. Details that there
// are begin with a 1.
func encodeAssignment(a *ticket.Assignment) (connection, details string) {
	if a == nil {
		return "", ""
	}
	if a.Details == nil {
		return a.Connection, ""
	}
	// Fails for texts that are not UTF-8 alone, which no message can have brought.
	b, _ := proto.Marshal(a.Details)
	return a.Connection, "1" + string(b)
}

func decodeAssignment(connection, details string) (*ticket.Assignment, error) {
	a := &ticket.Assignment{Connection: connection}
	if details == "" {
		return a, nil
	}
	a.Details = new(torikumiv1.AssignmentDetails)
	if err := proto.Unmarshal([]byte(details[1:]), a.Details); err != nil {
		return nil, fmt.Errorf("assignment in Redis: %w", err)
	}
	return a, nil
}

// encodeWait writes when a ticket was assigned, and after how long, in ns.
func encodeWait(t *ticket.Ticket) string {
	return fmt.Sprintf("%d %d", t.Updated.UnixNano(), t.Updated.Sub(t.Searching()).Nanoseconds())
}

func decodeWait(text string) (ticket.Wait, error) {
	ended, length, _ := strings.Cut(text, " ")
	at, err := nanos(ended)
	if err != nil {
		return ticket.Wait{}, fmt.Errorf("wait in Redis: %w", err)
	}
	n, err := strconv.ParseInt(length, 10, 64)
	if err != nil {
		return ticket.Wait{}, fmt.Errorf("wait in Redis: %q", text)
	}
	return ticket.Wait{Ended: at, Length: time.Duration(n)}, nil
}

// encodeParty writes a party, and nil as an empty text.
func encodeParty(p *ticket.Party) ([]byte, error) {
	if p == nil {
		return nil, nil
	}
	b, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encode party: %w", err)
	}
	return b, nil
}

func decodeAcceptance(text string) (*ticket.Acceptance, error) {
	if text == "" {
		return nil, nil
	}
	a := new(ticket.Acceptance)
	if err := json.Unmarshal([]byte(text), a); err != nil {
		return nil, fmt.Errorf("acceptance: %w", err)
	}
	return a, nil
}

func decodeParty(text string) (*ticket.Party, error) {
	if text == "" {
		return nil, nil
	}
	p := new(ticket.Party)
	if err := json.Unmarshal([]byte(text), p); err != nil {
		return nil, fmt.Errorf("party: %w", err)
	}
	return p, nil
}

// code is the secret that a ticket is found by, empty without a party.
func code(t *ticket.Ticket) string {
	if t.Party == nil {
		return ""
	}
	return t.Party.Code
}

// holders are the Seat of a ticket and its players, each of whom has one.
func holders(t *ticket.Ticket) []any {
	all := make([]any, 0, 1+len(t.Players))
	all = append(all, t.Seat())
	for _, p := range t.Players {
		all = append(all, p.GetId())
	}
	return all
}
