// Package ticketfile reads and writes tickets as files of JSON lines, in the
// shape that FlexMatch's DescribeMatchmaking prints, so that a studio can try a
// rule set with the tickets that it has recorded. It is off the player's path:
// the simulator is its user.
//
// A line is one ticket:
//
//	{"TicketId":"t1","StartTime":"2026-01-01T00:00:00Z","Players":[{"PlayerId":"p1",
//	 "PlayerAttributes":{"skill":{"N":23},"mode":{"S":"ctf"},"maps":{"SL":["a","b"]},
//	 "roles":{"SDM":{"tank":10}}},"LatencyInMs":{"us-east-1":40}}]}
package ticketfile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"torikumi/matchfunction/rule"
)

const (
	// MaxLine is the longest line in bytes, its end not counted.
	MaxLine = 1 << 20
	// maxErrors is how many mistakes Read collects before it gives up.
	maxErrors = 20
)

// Error is one thing that is wrong with a file.
type Error struct {
	// Line counts from 1.
	Line int
	// Member is the JSON path inside the line, such as
	// "Players[0].LatencyInMs.eu-west-1"; empty for the whole line.
	Member string
	// Rule is what has to be so.
	Rule string
}

// Error names the line, the member and the rule.
func (e *Error) Error() string {
	if e.Member == "" {
		return fmt.Sprintf("line %d: %s", e.Line, e.Rule)
	}
	return fmt.Sprintf("line %d: %s: %s", e.Line, e.Member, e.Rule)
}

// Read reads tickets in the order of the lines. A byte order mark, blank
// lines and members that are not known are skipped; attributes and latencies come sorted by name. The
// error joins an *Error for each line that is wrong, the first maxErrors of
// them, and what the reader itself says.
func Read(r io.Reader) ([]rule.Ticket, error) {
	f := file{ticketAt: map[string]int{}, playerAt: map[string]int{}}
	lines := bufio.NewReaderSize(r, MaxLine+2)
	for {
		text, err := lines.ReadSlice('\n')
		f.line++
		if f.line == 1 {
			text = bytes.TrimPrefix(text, []byte("\ufeff"))
		}
		text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
		switch {
		case len(text) > MaxLine || errors.Is(err, bufio.ErrBufferFull):
			f.errs = append(f.errs, &Error{f.line, "", fmt.Sprintf("must be at most %d bytes long", MaxLine)})
			return nil, errors.Join(f.errs...)
		case err != nil && !errors.Is(err, io.EOF):
			return nil, errors.Join(append(f.errs, err)...)
		}
		if len(bytes.TrimSpace(text)) > 0 {
			f.add(text)
		}
		if len(f.errs) == maxErrors && err == nil {
			f.errs = append(f.errs, errors.New("and perhaps more: reading ends here"))
			break
		}
		if err != nil {
			break
		}
	}
	if err := errors.Join(f.errs...); err != nil {
		return nil, err
	}
	return f.tickets, nil
}

// file is what has been read so far.
type file struct {
	line    int
	tickets []rule.Ticket
	errs    []error
	// The lines of tickets and players.
	ticketAt, playerAt map[string]int
}

func (f *file) add(text []byte) {
	t, err := decode(text)
	if err == nil {
		err = f.unique(&t)
	}
	if err != nil {
		f.errs = append(f.errs, &Error{f.line, err.member, err.rule})
		return
	}
	f.ticketAt[t.ID] = f.line
	for i := range t.Players {
		f.playerAt[t.Players[i].ID] = f.line
	}
	f.tickets = append(f.tickets, t)
}

// unique refuses a ticket that is there, and a player who is in one.
func (f *file) unique(t *rule.Ticket) *mistake {
	if line, ok := f.ticketAt[t.ID]; ok {
		return &mistake{"TicketId", fmt.Sprintf("must be unique, %q is on line %d too", shorten(t.ID), line)}
	}
	own := make(map[string]bool, len(t.Players))
	for i := range t.Players {
		id := t.Players[i].ID
		member := fmt.Sprintf("Players[%d].PlayerId", i)
		if own[id] {
			return &mistake{member, fmt.Sprintf("must be unique, %q is in the ticket twice", shorten(id))}
		}
		if line, ok := f.playerAt[id]; ok {
			return &mistake{member, fmt.Sprintf("must be unique, %q is on line %d too", shorten(id), line)}
		}
		own[id] = true
	}
	return nil
}

// shorten cuts what a file made too long to read.
func shorten(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		return strings.ToValidUTF8(string(r[:most]), "") + "…"
	}
	return s
}
