// Package jsonstream reads what a server stream of gRPC looks like through
// grpc-gateway: JSON objects one after another, each with a result or an error.
// Match functions and evaluators over REST answer so.
package jsonstream

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"torikumi/minimatch/internal/anyjson"
)

// Errors of Next, beside io.EOF and those of the stream itself.
var (
	ErrTooLarge  = errors.New("a message is larger than the limit")
	ErrMalformed = errors.New("the stream is not one of objects with a result or an error")
)

// Failure is an error that the server reports.
type Failure struct {
	// Status is the HTTP status, 200 when the stream began well.
	Status  int
	Message string
}

func (f *Failure) Error() string {
	if f.Status != http.StatusOK {
		return fmt.Sprintf("it answered with status %d: %s", f.Status, shortened(f.Message))
	}
	return "it answered with the error " + shortened(f.Message)
}

// most is how much of a server's message is passed on, mostRead how much of an answer is
// read for it, in bytes.
const most, mostRead = 2000, 1 << 20

// shortened quotes a message, and says so if it is cut.
func shortened(message string) string {
	if len(message) <= most {
		return strconv.Quote(message)
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(message[cut]) {
		cut--
	}
	return fmt.Sprintf("%q (the first %d of %d bytes)", message[:cut], cut, len(message))
}

// Reader reads one stream. It is not safe for concurrent use.
type Reader struct {
	decoder *json.Decoder
	bounded *bounded
	status  int
}

// NewReader reads the response's body, in which no message is larger than limit
// bytes, give or take what is read ahead.
func NewReader(resp *http.Response, limit int64) *Reader {
	b := &bounded{from: resp.Body, limit: limit, left: limit}
	return &Reader{decoder: json.NewDecoder(b), bounded: b, status: resp.StatusCode}
}

// item is one object. The names are grpc-gateway's: a stream that began wraps
// its messages, a call that failed before it has its error bare.
type item struct {
	Result  json.RawMessage `json:"result"`
	Error   json.RawMessage `json:"error"`
	Message string          `json:"message"`
}

// Next reads the next result into m. It returns io.EOF at the end of the
// stream, and a *Failure when the server says that it failed.
func (r *Reader) Next(m proto.Message) error {
	r.bounded.left = r.bounded.limit
	if r.status != http.StatusOK {
		return r.failure()
	}
	var it item
	err := r.decoder.Decode(&it)
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF):
		return io.EOF
	case errors.As(err, &syntax), errors.As(err, &kind), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	case err != nil:
		return err
	case len(it.Error) > 0 && string(it.Error) != "null" && string(it.Error) != "{}":
		return &Failure{Status: http.StatusOK, Message: it.said()}
	case len(it.Result) == 0 && it.Message != "":
		return &Failure{Status: http.StatusOK, Message: it.Message}
	case len(it.Result) == 0:
		return ErrMalformed
	}
	if err := anyjson.Unmarshal(it.Result, m); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}

// said is the message of the object's error: its field message, or all of it.
func (it *item) said() string {
	var e item
	var text string
	switch {
	case json.Unmarshal(it.Error, &e) == nil && e.Message != "":
		return e.Message
	case json.Unmarshal(it.Error, &text) == nil:
		return text
	}
	return string(it.Error)
}

// failure is what an answer says that is no stream: the message of an object, bare or
// inside of an error, or the text that it is.
func (r *Reader) failure() error {
	body, err := io.ReadAll(io.LimitReader(r.bounded, mostRead))
	text := strings.TrimSpace(string(body))
	var it item
	switch {
	case json.Unmarshal(body, &it) != nil:
	case len(it.Error) > 0 && string(it.Error) != "null":
		text = it.said()
	case it.Message != "":
		text = it.Message
	}
	if text == "" && err != nil {
		text = err.Error()
	}
	return &Failure{Status: r.status, Message: strings.ToValidUTF8(text, "\uFFFD")}
}

// bounded fails when more than limit bytes are read for one message.
type bounded struct {
	from        io.Reader
	limit, left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, ErrTooLarge
	}
	n, err := b.from.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}
