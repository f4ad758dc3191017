package ticketfile

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// MaxValue is the most bytes that a ticket on several lines may have, without the
// blanks between its members.
const MaxValue = 8 << 20

var (
	errNoJSON  = errors.New("must be JSON to the end of the file")
	errTooLong = fmt.Errorf("must be at most %d bytes long, one ticket or one member", MaxValue)
)

// stream reads JSON values as they come, and knows their lines. Of a list it holds
// one element at a time, and no blanks around it.
type stream struct {
	in *bufio.Reader
	// line is that of the next byte, last that of the last one that was no blank.
	line, last int
	// text is what has been read of the value; its user empties it.
	text []byte
}

func newStream(in *bufio.Reader, line int) *stream { return &stream{in: in, line: line, last: line} }

// failed is an error with the line that it is on.
func (s *stream) failed(err error) error {
	switch {
	case errors.Is(err, io.EOF):
		return &Error{s.last, "", errNoJSON.Error()}
	case errors.Is(err, errNoJSON), errors.Is(err, errTooLong):
		return &Error{s.line, "", err.Error()}
	}
	return err
}

// peek returns the next byte that is no blank, and leaves it there.
func (s *stream) peek() (byte, error) {
	for {
		c, err := s.in.ReadByte()
		if err != nil {
			return 0, err
		}
		switch c {
		case '\n':
			s.line++
		case ' ', '\t', '\r':
		default:
			return c, s.in.UnreadByte()
		}
	}
}

// next adds the next byte to the text.
func (s *stream) next() (byte, error) {
	c, err := s.in.ReadByte()
	if err != nil {
		return 0, err
	}
	if len(s.text) == MaxValue {
		return 0, errTooLong
	}
	s.text = append(s.text, c)
	switch c {
	case '\n':
		s.line++
	case ' ', '\t', '\r':
	default:
		s.last = s.line
	}
	return c, nil
}

// expect takes one of some bytes.
func (s *stream) expect(of string) (byte, error) {
	c, err := s.peek()
	if err == nil && strings.IndexByte(of, c) < 0 {
		err = errNoJSON
	}
	if err != nil {
		return 0, err
	}
	return s.next()
}

// value adds a value to the text and returns it, valid until the text is emptied,
// and the line where it begins.
func (s *stream) value() (text []byte, line int, err error) {
	if _, err := s.peek(); err != nil {
		return nil, s.line, err
	}
	start, line := len(s.text), s.line
	if err := s.skim(); err != nil {
		return nil, line, err
	}
	text = s.text[start:]
	if !json.Valid(text) {
		var syntax *json.SyntaxError
		if errors.As(json.Unmarshal(text, new(json.RawMessage)), &syntax) {
			s.line = line + bytes.Count(text[:max(0, syntax.Offset-1)], []byte("\n"))
		}
		return nil, line, errNoJSON
	}
	return text, line, nil
}

// skim adds a value to the text by its quotes and brackets alone.
func (s *stream) skim() error {
	var open []byte
	for {
		c, err := s.next()
		if err != nil {
			return err
		}
		switch c {
		case '"':
			if err := s.quoted(); err != nil {
				return err
			}
		case '{', '[':
			open = append(open, c+2) // the bracket that closes it, in ASCII
		case '}', ']':
			if len(open) == 0 || open[len(open)-1] != c {
				return errNoJSON
			}
			open = open[:len(open)-1]
		default:
			if len(open) == 0 {
				return s.word()
			}
		}
		if len(open) == 0 {
			return nil
		}
	}
}

// quoted adds the rest of a string. A line ends in none: one that does not end is
// said where it is.
func (s *stream) quoted() error {
	for {
		c, err := s.next()
		switch {
		case err != nil:
			return err
		case c == '\n':
			s.line--
			return errNoJSON
		case c == '"':
			return nil
		case c == '\\':
			if _, err := s.next(); err != nil {
				return err
			}
		}
	}
}

// word adds the rest of a number or of true, false and null.
func (s *stream) word() error {
	for {
		c, err := s.in.ReadByte()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.in.UnreadByte(); err != nil {
			return err
		}
		if strings.IndexByte(blanks+`,:{}[]"`, c) >= 0 {
			return nil
		}
		if _, err := s.next(); err != nil {
			return err
		}
	}
}

// document reads JSON values: lists of tickets, alone or as TicketList, or tickets.
func (f *file) document(s *stream) {
	for !f.full() {
		s.text = s.text[:0]
		c, err := s.peek()
		if errors.Is(err, io.EOF) {
			return
		}
		switch {
		case err != nil:
		case c == '[':
			err = f.list(s, "")
		case c == '{':
			err = f.object(s)
		default:
			err = f.element(s, "")
		}
		if err != nil {
			f.errs = append(f.errs, s.failed(err))
			return
		}
	}
}

// element reads a ticket.
func (f *file) element(s *stream, path string) error {
	s.text = s.text[:0]
	text, line, err := s.value()
	if err == nil {
		f.add(line, path, text)
	}
	return err
}

// list reads a list of tickets, as far as they are wanted.
func (f *file) list(s *stream, path string) error {
	if _, err := s.expect("["); err != nil {
		return err
	}
	if c, err := s.peek(); err == nil && c == ']' {
		_, err = s.next()
		return err
	}
	for i := 0; !f.full(); i++ {
		if err := f.element(s, fmt.Sprintf("%s[%d]", path, i)); err != nil {
			return err
		}
		if c, err := s.expect(",]"); err != nil || c == ']' {
			return err
		}
	}
	return nil
}

// object reads a ticket, or one that has a TicketList, wherever that stands in it.
func (f *file) object(s *stream) error {
	line := s.line
	if _, err := s.expect("{"); err != nil {
		return err
	}
	lists := 0
	for first := true; ; first = false {
		if lists > 0 {
			s.text = s.text[:0] // it is no ticket
		}
		if c, err := s.peek(); err == nil && first && c == '}' {
			_, _ = s.next() // it is there
			break
		}
		isList, err := f.member(s, &lists)
		if err != nil || f.full() {
			return err
		}
		if isList {
			s.text = s.text[:0]
		}
		if c, err := s.expect(",}"); err != nil {
			return err
		} else if c == '}' {
			break
		}
	}
	if lists == 0 {
		f.add(line, "", s.text)
	}
	return nil
}

// member reads a member of an object, and reports whether it is a TicketList. It
// counts those.
func (f *file) member(s *stream, lists *int) (bool, error) {
	if c, err := s.peek(); err != nil {
		return false, err
	} else if c != '"' {
		return false, errNoJSON
	}
	text, line, err := s.value()
	if err != nil {
		return false, err
	}
	var name string
	_ = json.Unmarshal(text, &name) // it is a string
	if _, err := s.expect(":"); err != nil {
		return false, err
	}
	const ticketList = "TicketList"
	c, err := s.peek()
	if err != nil || name != ticketList || c == 'n' {
		_, _, err = s.value()
		return false, err
	}
	if *lists++; *lists > 1 {
		return false, &Error{line, ticketList, "is there more than once"}
	}
	switch c {
	case '[':
		return true, f.list(s, ticketList)
	case '{': // some programs write a list of one as the one
		return true, f.element(s, ticketList)
	}
	return false, &Error{line, ticketList, "must be a list"}
}
