// Package ticketfile reads and writes tickets as files of JSON lines, in the
// shape that FlexMatch's DescribeMatchmaking prints, so that a studio can try a
// rule set with the tickets that it has recorded. It is off the player's path:
// the simulator is its user.
//
// A line is one ticket; the output of the AWS command line is taken as it is:
//
//	{"TicketId":"t1","StartTime":"2026-01-01T00:00:00Z","Players":[{"PlayerId":"p1",
//	 "PlayerAttributes":{"skill":{"N":23},"mode":{"S":"ctf"},"maps":{"SL":["a","b"]},
//	 "roles":{"SDM":{"tank":10}}},"LatencyInMs":{"us-east-1":40}}]}
package ticketfile

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

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

// Recording is the tickets of a file.
type Recording struct {
	Tickets []rule.Ticket
	// Ended is, for each ticket, when it ended by the file; the zero time if that is
	// not known.
	Ended []time.Time
	// LeftOut are tickets that production would not take, or has already.
	LeftOut []LeftOut
}

// LeftOut is a ticket that is not in a recording.
type LeftOut struct {
	Line int
	Why  string
}

// Reasons for which tickets are left out.
const (
	Repeated    = "the ticket comes again further down"
	PlayerTwice = "a player is in the ticket twice"
)

// Read reads tickets in the order of the lines. The file has one ticket a line,
// or is what "aws gamelift describe-matchmaking" prints, once or several times: an
// object with a TicketList, or a list of tickets. A byte order mark, blank lines
// and members that are not known are skipped; attributes and latencies come sorted
// by name. A ticket that is there again replaces the one before. The error joins
// an *Error for each ticket that is wrong, the first maxErrors of them, and what the
// reader itself says.
func Read(r io.Reader) (*Recording, error) {
	f := file{at: map[string]int{}}
	lines := bufio.NewReaderSize(r, MaxLine+2)
	if document(lines) {
		f.document(lines)
	} else {
		f.lines(lines)
	}
	if err := errors.Join(f.errs...); err != nil {
		return nil, err
	}
	return f.recording(), nil
}

// listStart is how an object with tickets begins, and a ticket on several lines.
var listStart = regexp.MustCompile(`^\s*(\[|\{\s*"TicketList"\s*:|\{\s*\n)`)

// document reports whether a file is more than one ticket a line.
func document(r *bufio.Reader) bool {
	start, _ := r.Peek(4096) // what is wrong comes again
	return listStart.Match(bytes.TrimPrefix(start, []byte("\ufeff")))
}

// lines reads one ticket a line.
func (f *file) lines(lines *bufio.Reader) {
	for line := 1; ; line++ {
		text, err := lines.ReadSlice('\n')
		if line == 1 {
			text = bytes.TrimPrefix(text, []byte("\ufeff"))
		}
		text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
		switch {
		case len(text) > MaxLine || errors.Is(err, bufio.ErrBufferFull):
			f.errs = append(f.errs, &Error{line, "", fmt.Sprintf("must be at most %d bytes long", MaxLine)})
			return
		case err != nil && !errors.Is(err, io.EOF):
			f.errs = append(f.errs, err)
			return
		}
		if len(bytes.TrimSpace(text)) > 0 {
			f.add(line, "", text)
		}
		if err != nil || f.full() {
			return
		}
	}
}

// document reads JSON values: lists of tickets, alone or as TicketList, or tickets.
func (f *file) document(r io.Reader) {
	text, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	switch {
	case err != nil:
		f.errs = append(f.errs, err)
		return
	case len(text) > maxDocument:
		f.errs = append(f.errs, fmt.Errorf("must be at most %d bytes long, as one document; one ticket a line has no limit", maxDocument))
		return
	}
	line := lineCounter(text)
	for d := json.NewDecoder(bytes.NewReader(text)); ; {
		var v json.RawMessage
		err := d.Decode(&v)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			f.errs = append(f.errs, &Error{line(d.InputOffset()), "", "must be JSON to the end of the file"})
			return
		}
		start := d.InputOffset() - int64(len(v))
		list, path := v, ""
		var object struct{ TicketList json.RawMessage }
		if v[0] == '{' && json.Unmarshal(v, &object) == nil && object.TicketList != nil {
			list, path = object.TicketList, "TicketList"
			start += int64(bytes.Index(v, list)) // it is a part of v
		}
		if list[0] != '[' {
			f.add(line(start), path, list)
			continue
		}
		items := json.NewDecoder(bytes.NewReader(list))
		_, _ = items.Token() // the bracket
		for i := 0; items.More() && !f.full(); i++ {
			var item json.RawMessage
			if err := items.Decode(&item); err != nil { // it has been decoded whole
				return
			}
			f.add(line(start+items.InputOffset()-int64(len(item))), fmt.Sprintf("%s[%d]", path, i), item)
		}
		if f.full() {
			return
		}
	}
}

// lineCounter returns the line of an offset. Offsets may not fall from call to
// call: each line end is looked at once.
func lineCounter(text []byte) func(offset int64) int {
	line, from := 1, int64(0)
	return func(offset int64) int {
		line += bytes.Count(text[from:offset], []byte("\n"))
		from = offset
		return line
	}
}

// maxDocument is the most bytes of a file that is read as a whole.
const maxDocument = 1 << 30

// file is what has been read so far.
type file struct {
	found []found
	errs  []error
	// at is the place of a ticket in found.
	at      map[string]int
	leftOut []LeftOut
}

type found struct {
	line   int
	ticket rule.Ticket
	ended  time.Time
	again  bool
}

// full reports whether enough is wrong, and says so.
func (f *file) full() bool {
	if len(f.errs) == maxErrors {
		f.errs = append(f.errs, errors.New("and perhaps more: reading ends here"))
	}
	return len(f.errs) > maxErrors
}

func (f *file) add(line int, path string, text []byte) {
	t, ended, err := decode(text)
	if err != nil {
		member := strings.Trim(path+"."+err.member, ".") // either may be empty
		f.errs = append(f.errs, &Error{line, member, err.rule})
		return
	}
	own := make(map[string]bool, len(t.Players))
	for i := range t.Players {
		if own[t.Players[i].ID] {
			f.leftOut = append(f.leftOut, LeftOut{line, PlayerTwice})
			return
		}
		own[t.Players[i].ID] = true
	}
	if before, ok := f.at[t.ID]; ok {
		f.leftOut = append(f.leftOut, LeftOut{f.found[before].line, Repeated})
		f.found[before].again = true
	}
	f.at[t.ID] = len(f.found)
	f.found = append(f.found, found{line: line, ticket: t, ended: ended})
}

func (f *file) recording() *Recording {
	r := &Recording{LeftOut: f.leftOut}
	for _, k := range f.found {
		if !k.again {
			r.Tickets, r.Ended = append(r.Tickets, k.ticket), append(r.Ended, k.ended)
		}
	}
	return r
}
