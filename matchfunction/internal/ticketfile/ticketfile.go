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
// object with a TicketList, or a list of tickets. Of a file there is no more in
// memory than what is taken from it, and a ticket. A byte order mark, blank lines
// and members that are not known are skipped; attributes and latencies come sorted
// by name. A ticket that is there again replaces the one before. The error joins
// an *Error for each ticket that is wrong, the first maxErrors of them, and what the
// reader itself says.
func Read(r io.Reader) (*Recording, error) {
	f := file{at: map[string]int{}}
	in := bufio.NewReaderSize(r, MaxLine+2)
	if mark, _ := in.Peek(3); string(mark) == "\ufeff" {
		_, _ = in.Discard(len(mark)) // it is there
	}
	start, _ := in.Peek(MaxLine) // what is wrong comes again
	if isDocument(start) {
		f.document(newStream(in, 1))
	} else {
		f.lines(in)
	}
	if err := errors.Join(f.errs...); err != nil {
		return nil, err
	}
	return f.recording(), nil
}

// isDocument reports whether a file that begins so is more than one ticket a line: a
// list, an object with a TicketList, or one on several lines. A line that is cut off
// and followed by another object is neither.
func isDocument(start []byte) bool {
	text := bytes.TrimLeft(start, blanks)
	if len(text) == 0 || text[0] != '{' {
		return len(text) > 0 && text[0] == '['
	}
	var open, word []byte // the brackets that are open, the last string
	var before byte       // the last that is no blank
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch c {
		case '"':
			n := valueEnd(text[i:])
			word = text[i : i+n]
			if bytes.IndexByte(word, '\n') >= 0 {
				return false
			}
			i += n - 1
		case '{', '[':
			open = append(open, c)
		case '}', ']':
			if open = open[:len(open)-1]; len(open) == 0 {
				return false
			}
		case ':':
			if len(open) == 1 && string(word) == `"TicketList"` {
				return true
			}
		case '\n':
			rest := bytes.TrimLeft(text[i:], blanks)
			return len(rest) == 0 || rest[0] != '{' || before == ':' || open[len(open)-1] == '['
		}
		if strings.IndexByte(blanks, c) < 0 {
			before = c
		}
	}
	return false
}

// blanks are those of JSON.
const blanks = " \t\r\n"

// lines reads one ticket a line.
func (f *file) lines(lines *bufio.Reader) {
	for line := 1; ; line++ {
		text, err := lines.ReadSlice('\n')
		text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
		switch {
		case len(text) > MaxLine || errors.Is(err, bufio.ErrBufferFull):
			f.errs = append(f.errs, &Error{line, "", fmt.Sprintf("must be at most %d bytes long", MaxLine)})
			return
		case err != nil && !errors.Is(err, io.EOF):
			f.errs = append(f.errs, err)
			return
		}
		switch {
		case len(bytes.TrimSpace(text)) == 0:
		case bytes.Contains(text, []byte(`"TicketList"`)) && json.Valid(text):
			f.document(newStream(bufio.NewReaderSize(bytes.NewReader(text), 16), line))
		default:
			f.add(line, "", text)
		}
		if err != nil || f.full() {
			return
		}
	}
}

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
