package ticketfile_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"torikumi/matchfunction/internal/ticketfile"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

const example = `{"TicketId":"t1","StartTime":"2026-01-01T00:00:00Z","Players":[{"PlayerId":"p1","PlayerAttributes":{"skill":{"N":23},"mode":{"S":"ctf"},"maps":{"SL":["a","b"]},"roles":{"SDM":{"tank":10}}},"LatencyInMs":{"us-east-1":40,"eu-west-1":90}}]}`

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func exampleTicket() rule.Ticket {
	return rule.Ticket{ID: "t1", Created: start, Players: []rule.Player{{
		ID: "p1",
		Attributes: []rule.Attribute{
			{Name: "maps", Value: ruleset.Value{Type: ruleset.StringList, List: []string{"a", "b"}}},
			{Name: "mode", Value: ruleset.Value{Type: ruleset.String, String: "ctf"}},
			{Name: "roles", Value: ruleset.Value{Type: ruleset.StringNumberMap, Map: map[string]float64{"tank": 10}}},
			{Name: "skill", Value: ruleset.Value{Type: ruleset.Number, Number: 23}},
		},
		Latencies: []rule.Latency{{Region: "eu-west-1", Milliseconds: 90}, {Region: "us-east-1", Milliseconds: 40}},
	}}}
}

// read returns the tickets alone.
func read(r io.Reader) ([]rule.Ticket, error) {
	recording, err := ticketfile.Read(r)
	if err != nil {
		return nil, err
	}
	return recording.Tickets, nil
}

func TestRead(t *testing.T) {
	got, err := read(strings.NewReader("\n" + example + "\r\n  \n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]rule.Ticket{exampleTicket()}, got); diff != "" {
		t.Error(diff)
	}
	if marked, err := read(strings.NewReader("\ufeff" + example)); err != nil || len(marked) != 1 {
		t.Errorf("a byte order mark: %v", err)
	}
}

// DescribeMatchmaking prints more than a ticket needs, numbers as the AWS
// command line does, and times in seconds.
func TestReadWhatDescribeMatchmakingPrints(t *testing.T) {
	got, err := read(strings.NewReader(`{"TicketId":"t1","ConfigurationName":"c","ConfigurationArn":"arn:aws:x","Status":"COMPLETED","StatusReason":null,` +
		`"StartTime":1767225600.5,"EndTime":1767225601,"Players":[{"PlayerId":"p1","Team":"red","LatencyInMs":{},"PlayerAttributes":{"skill":{"N":"2.3e1","S":null}}}],"EstimatedWaitTime":3}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []rule.Ticket{{ID: "t1", Created: start.Add(500 * time.Millisecond), Players: []rule.Player{{
		ID: "p1", Attributes: []rule.Attribute{{Name: "skill", Value: ruleset.Value{Type: ruleset.Number, Number: 23}}},
	}}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestReadErrors(t *testing.T) {
	// The second line is wrong in the way that the row says.
	player := func(rest string) string {
		return `{"TicketId":"t2","StartTime":0,"Players":[{"PlayerId":"p2",` + rest + `}]}`
	}
	rows := []struct{ line, want string }{
		{`{`, `line 2: must be one JSON object`},
		{`[]`, `line 2: must be an object`},
		{`null`, `line 2: must be an object`},
		{`{} {}`, `line 2: must be one JSON object`},
		{"{\"TicketId\":\"\xff\"}", `line 2: must be UTF-8`},
		{`{}`, `line 2: TicketId: is missing`},
		{`{"ticketid":"t2"}`, `line 2: TicketId: is missing`},
		{`{"TicketId":7}`, `line 2: TicketId: must be a string`},
		{`{"TicketId":""}`, `line 2: TicketId: must not be empty`},
		{`{"TicketId":"t2"}`, `line 2: StartTime: is missing`},
		{`{"TicketId":"t2","StartTime":"noon"}`, `line 2: StartTime: must be a time as RFC 3339, or seconds since 1970`},
		{`{"TicketId":"t2","StartTime":1e300}`, `line 2: StartTime: must be a time as RFC 3339, or seconds since 1970`},
		{`{"TicketId":"t2","StartTime":"0000-01-01T00:00:00+01:00"}`, `line 2: StartTime: must be a time as RFC 3339, or seconds since 1970`},
		{`{"TicketId":"t2","StartTime":[]}`, `line 2: StartTime: must be a time as RFC 3339, or seconds since 1970`},
		{`{"TicketId":"t2","StartTime":0}`, `line 2: Players: is missing`},
		{`{"TicketId":"t2","StartTime":0,"Players":{}}`, `line 2: Players: must be a list`},
		{`{"TicketId":"t2","StartTime":0,"Players":[]}`, `line 2: Players: must have at least one player`},
		{`{"TicketId":"t2","StartTime":0,"Players":[3]}`, `line 2: Players[0]: must be an object`},
		{`{"TicketId":"t2","StartTime":0,"Players":[{}]}`, `line 2: Players[0].PlayerId: is missing`},
		{player(`"PlayerAttributes":[]`), `line 2: Players[0].PlayerAttributes: must be an object`},
		{player(`"PlayerAttributes":{"a":1}`), `line 2: Players[0].PlayerAttributes.a: must be an object`},
		{player(`"PlayerAttributes":{"a":{}}`), `line 2: Players[0].PlayerAttributes.a: must have exactly one of S, N, SL and SDM`},
		{player(`"PlayerAttributes":{"a":{"S":"x","N":1}}`), `line 2: Players[0].PlayerAttributes.a: must have exactly one of S, N, SL and SDM`},
		{player(`"PlayerAttributes":{"a":{"S":1}}`), `line 2: Players[0].PlayerAttributes.a.S: must be a string`},
		{player(`"PlayerAttributes":{"a":{"N":"0x1p3"}}`), `line 2: Players[0].PlayerAttributes.a.N: must be a number`},
		{player(`"PlayerAttributes":{"a":{"N":true}}`), `line 2: Players[0].PlayerAttributes.a.N: must be a number`},
		{player(`"PlayerAttributes":{"a":{"N":1e999}}`), `line 2: Players[0].PlayerAttributes.a.N: must be a finite number`},
		{player(`"PlayerAttributes":{"a":{"SL":"x"}}`), `line 2: Players[0].PlayerAttributes.a.SL: must be a list`},
		{player(`"PlayerAttributes":{"a":{"SL":["x",null]}}`), `line 2: Players[0].PlayerAttributes.a.SL[1]: must be a string`},
		{player(`"PlayerAttributes":{"a":{"SDM":{"k":"x"}}}`), `line 2: Players[0].PlayerAttributes.a.SDM.k: must be a number`},
		{player(`"LatencyInMs":{"eu":-1}`), `line 2: Players[0].LatencyInMs.eu: must be at least 0 milliseconds`},
		{player(`"LatencyInMs":{"":5}`), `line 2: Players[0].LatencyInMs: names must have 1 to 1024 characters, got ""`},
		{player(`"LatencyInMs":` + numbered(65, "5")), `line 2: Players[0].LatencyInMs: must have at most 64 entries`},
		{player(`"PlayerAttributes":{"":{"N":1}}`), `line 2: Players[0].PlayerAttributes: names must have 1 to 1024 characters, got ""`},
		{player(`"PlayerAttributes":` + numbered(1001, `{"N":1}`)), `line 2: Players[0].PlayerAttributes: must have at most 1000 entries`},
		{player(`"PlayerAttributes":{"a":{"S":"` + strings.Repeat("é", 1025) + `"}}`), `line 2: Players[0].PlayerAttributes.a.S: must have at most 1024 characters`},
		{player(`"PlayerAttributes":{"a":{"SL":["` + strings.Repeat("é", 1025) + `"]}}`), `line 2: Players[0].PlayerAttributes.a.SL[0]: must have at most 1024 characters`},
		{player(`"PlayerAttributes":{"a":{"SL":["x"` + strings.Repeat(`,"x"`, 1000) + `]}}`), `line 2: Players[0].PlayerAttributes.a.SL: must have at most 1000 entries`},
		{player(`"PlayerAttributes":{"a":{"SDM":` + numbered(1001, "1") + `}}`), `line 2: Players[0].PlayerAttributes.a.SDM: must have at most 1000 entries`},
		{player(`"PlayerAttributes":{"a":{"SDM":{"":1}}}`), `line 2: Players[0].PlayerAttributes.a.SDM: names must have 1 to 1024 characters, got ""`},
		{`{"TicketId":"t2","StartTime":0,"Players":[{"PlayerId":"` + strings.Repeat("p", 1025) + `"}]}`, `line 2: Players[0].PlayerId: must have 1 to 1024 characters`},
		{`{"TicketId":"t2","StartTime":0,"Players":[{}` + strings.Repeat(",{}", 200) + `]}`, `line 2: Players: must have at most 200 entries`},
		{`{"TicketId":"t2","TicketId":"t3"}`, `line 2: TicketId: is there more than once`},
		{`{"TicketId":"t2" , "Ticket\u0049d" : null}`, `line 2: TicketId: is there more than once`},
		{`{"TicketId":null,"TicketId":"t3"}`, `line 2: TicketId: is there more than once`},
		{player(`"PlayerId":"p3"`), `line 2: Players[0].PlayerId: is there more than once`},
		{player(`"PlayerAttributes":{"a":{"N":1},"a":{"N":2}}`), `line 2: Players[0].PlayerAttributes.a: is there more than once`},
		{player(`"PlayerAttributes":{"a":{"N":1,"N":2}}`), `line 2: Players[0].PlayerAttributes.a.N: is there more than once`},
		{player(`"PlayerAttributes":{"a":{"SDM":{"k":[{"}":"\\"}],"k":2}}}`), `line 2: Players[0].PlayerAttributes.a.SDM.k: is there more than once`},
		{player(`"LatencyInMs":{"eu":5,"eu":6}`), `line 2: Players[0].LatencyInMs.eu: is there more than once`},
		{player(`"LatencyInMs":{"eu":"fast"}`), `line 2: Players[0].LatencyInMs.eu: must be a number`},
	}
	for _, row := range rows {
		t.Run(row.want, func(t *testing.T) {
			got, err := read(strings.NewReader(example + "\n" + row.line + "\n"))
			if err == nil || err.Error() != row.want || got != nil {
				t.Fatalf("%s: got %v, %v, want %q", row.line, got, err, row.want)
			}
			var e *ticketfile.Error
			if !errors.As(err, &e) || e.Line != 2 {
				t.Errorf("no *Error of line 2: %#v", e)
			}
		})
	}
}

// numbered is an object with so many members, each the same.
func numbered(n int, member string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `%c"m%d":%s`, "{,"[min(i, 1)], i, member)
	}
	return b.String() + "}"
}

// What other systems took is taken.
func TestReadTheMost(t *testing.T) {
	p := fmt.Sprintf(`{"PlayerId":"%s","PlayerAttributes":%s,"LatencyInMs":%s}`, strings.Repeat("#", 1024), numbered(1000, `{"SDM":{"a/b":1}}`), numbered(64, "1e6"))
	q := fmt.Sprintf(`{"PlayerId":"q","PlayerAttributes":{"s":{"S":"%s"},"l":{"SL":["x"%s]},"m":{"SDM":%s}}}`, strings.Repeat("é", 1024), strings.Repeat(`,"x"`, 999), numbered(1000, "1"))
	for i := range 198 {
		q += fmt.Sprintf(`,{"PlayerId":"q%d"}`, i)
	}
	got, err := read(strings.NewReader(`{"TicketId":"t","StartTime":0,"Players":[` + p + "," + q + "]}"))
	if err != nil || len(got) != 1 || len(got[0].Players) != 200 {
		t.Errorf("%d tickets, %v", len(got), err)
	}
}

// All lines that are wrong are named, but no endless list.
func TestReadCollectsErrors(t *testing.T) {
	_, err := read(strings.NewReader("{}\n" + example + "\n[]\n"))
	if want := "line 1: TicketId: is missing\nline 3: must be an object"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	_, err = read(strings.NewReader(strings.Repeat("{}\n", 1000)))
	if err == nil || strings.Count(err.Error(), "\n") != 20 || !strings.HasSuffix(err.Error(), "and perhaps more: reading ends here") {
		t.Errorf("got %v", err)
	}
}

func TestReadLongLines(t *testing.T) {
	fill := func(n int) string {
		rest := n - len(example) + len("t1")
		return strings.Replace(example, "t1", strings.Repeat("x", rest), 1)
	}
	longest := fill(ticketfile.MaxLine)
	for _, end := range []string{"", "\n", "\r\n"} {
		if got, err := read(strings.NewReader(longest + end)); err != nil || len(got) != 1 {
			t.Errorf("a line of the longest, end %q: %v", end, err)
		}
	}
	for _, end := range []string{"", "\n", "\r\n"} {
		_, err := read(strings.NewReader(example + "\n" + fill(ticketfile.MaxLine+1) + end))
		if want := "line 2: must be at most 1048576 bytes long"; err == nil || err.Error() != want {
			t.Errorf("end %q: got %v, want %s", end, err, want)
		}
	}
}

func TestReadSaysWhatTheReaderSays(t *testing.T) {
	broken := errors.New("the disk is gone")
	if _, err := read(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestWriteReadsAgain(t *testing.T) {
	in := []rule.Ticket{exampleTicket(), {ID: "<&>", Created: start.Add(123456789), Players: []rule.Player{
		{ID: "a", Attributes: []rule.Attribute{
			{Name: "empty", Value: ruleset.Value{Type: ruleset.StringList, List: []string{}}},
			{Name: "none", Value: ruleset.Value{Type: ruleset.StringNumberMap, Map: map[string]float64{}}},
			{Name: "x", Value: ruleset.Value{Type: ruleset.Number, Number: -math.MaxFloat64}},
		}}, {ID: "b"},
	}}}
	var b bytes.Buffer
	if err := ticketfile.Write(&b, in); err != nil {
		t.Fatal(err)
	}
	out, err := read(&b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(in, out); diff != "" {
		t.Error(diff)
	}
}

func TestWriteErrors(t *testing.T) {
	asks, plays, nan := exampleTicket(), exampleTicket(), exampleTicket()
	asks.Region, plays.Teams = "eu", []int{0}
	nan.Players[0].Latencies[0].Milliseconds = math.NaN()
	for _, ticket := range []rule.Ticket{asks, plays, nan} {
		if err := ticketfile.Write(new(bytes.Buffer), []rule.Ticket{ticket}); err == nil || !strings.Contains(err.Error(), `"t1"`) {
			t.Errorf("got %v", err)
		}
	}
}

// validValues reports whether a text is JSON values, one after the other.
func validValues(text []byte) bool {
	for d := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff")))); ; {
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}

// What can be read can be written and read again, and is the same.
func FuzzRead(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte("[\n" + example + "\n]\n{\"TicketList\":\n[" + example + "]}"))
	f.Add([]byte(`{"x":{},"TicketList":[` + example + `]}`))
	f.Add([]byte("{\"x\":[\"\\\"\"],\n\"TicketList\": [\n" + example + "\n,{\"TicketId"))
	f.Add([]byte(example + "\n\n" + strings.ReplaceAll(example, `1"`, `2"`)))
	f.Add([]byte(`{"TicketId":"t","StartTime":1767225600.25,"Players":[{"PlayerId":"p","PlayerAttributes":{"n":{"N":"-0.0"}}}]}`))
	f.Add([]byte(`{"TicketId":"t","StartTime":"9999-12-31T23:59:59.999999999-00:01","Players":[{"PlayerId":"p"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		first, err := read(bytes.NewReader(text))
		// What encoding/json says of the whole is what the reader says.
		if valid := validValues(text); err == nil && !valid || err != nil && valid && strings.Contains(err.Error(), "must be JSON to the end") {
			t.Fatalf("valid: %v, got %v", valid, err)
		}
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := ticketfile.Write(&b, first); err != nil {
			t.Fatalf("write: %v", err)
		}
		if bytes.Count(b.Bytes(), []byte("\n")) != len(first) {
			t.Fatalf("%d tickets, but\n%s", len(first), &b)
		}
		second, err := read(&b)
		if err != nil {
			// What was written may be longer than what was read.
			if len(text) > ticketfile.MaxLine/8 {
				return
			}
			t.Fatalf("read again: %v", err)
		}
		if diff := cmp.Diff(first, second); diff != "" {
			t.Fatal(diff)
		}
	})
}

// A line is right for each ticket of a document, in several lists and outside of
// them.
func TestReadCountsLines(t *testing.T) {
	var text strings.Builder
	var want []ticketfile.LeftOut
	line := 1
	write := func(s string) { text.WriteString(s); line += strings.Count(s, "\n") }
	twice := func(id int) {
		want = append(want, ticketfile.LeftOut{Line: line, Why: ticketfile.PlayerTwice})
		write(fmt.Sprintf("{\n\"TicketId\":\"t%d\",%s\"StartTime\":1,\"Players\":[{\"PlayerId\":\"y\"},\n{\"PlayerId\":\"y\"}]}", id, strings.Repeat("\n", id%3)))
	}
	list := func(ids ...int) {
		for i, id := range ids {
			if i > 0 {
				write("\n,\n")
			}
			twice(id)
		}
	}
	write("\n {\n\"TicketList\": [\n")
	list(1, 2, 3)
	write("]\n}\n\n[")
	list(4, 5)
	write("]\n")
	twice(6)
	twice(7)
	write("\n{\"More\": [\n],\"TicketList\":[\n")
	list(8, 9, 10)
	write("]}\n")
	got, err := ticketfile.Read(strings.NewReader(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.LeftOut); diff != "" {
		t.Errorf("%s\n%s", text.String(), diff)
	}
	wrong := fmt.Sprintf("line %d: must be JSON to the end of the file", line+1)
	if _, err := ticketfile.Read(strings.NewReader(text.String() + "\n[,")); err == nil || err.Error() != wrong {
		t.Errorf("got %v, want %s", err, wrong)
	}
}

// repeated is a text that comes again and again.
type repeated struct {
	text string
	left int
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := 0
	for n+len(r.text) <= len(p) && r.left > 0 {
		n += copy(p[n:], r.text)
		r.left--
	}
	return n, nil
}

// What is no ticket needs no memory, however much of it there is.
func TestReadNeedsLittleMemory(t *testing.T) {
	const size = 16 << 20
	for name, row := range map[string]struct {
		start, again, end, want string
	}{
		"blanks in a list":       {"[", " ", "]", ""},
		"lines in a list":        {"[" + example + ",", "\n", example + "]", ""},
		"blanks in a TicketList": {`{"TicketList":`, " ", "[]}", ""},
		"blanks in a ticket":     {"[{", " ", "}]", "line 1: must be at most 8388608 bytes long, one ticket or one member"},
		"a long member":          {`{"TicketList":[],"x":"`, "x", `"}`, "line 1: must be at most 8388608 bytes long, one ticket or one member"},
		"deep":                   {"", "[", "", "line 1: must be at most 8388608 bytes long, one ticket or one member"},
		"errors":                 {"[0", ",0", "]", "and perhaps more: reading ends here"},
		"blank lines":            {example, "\n", example, ""},
		"a blank line":           {example + "\n", " ", "", "line 2: must be at most 1048576 bytes long"},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := read(io.MultiReader(strings.NewReader(row.start), &repeated{row.again, size}, strings.NewReader(row.end)))
			runtime.ReadMemStats(&after)
			if (err == nil) != (row.want == "") || err != nil && !strings.HasSuffix(err.Error(), row.want) {
				t.Errorf("got %v, want %s", err, row.want)
			}
			most := uint64(8 << 20)
			if strings.Contains(row.want, fmt.Sprint(ticketfile.MaxValue)) {
				most = 12 * ticketfile.MaxValue // which grows to its size by and by
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > most {
				t.Errorf("%d bytes, of %d", used, most)
			}
		})
	}
}

// The time for a ticket does not grow with their number.
func BenchmarkReadDocument(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var text bytes.Buffer
			for i := range n {
				fmt.Fprintf(&text, "%c\n%s", "[,"[min(i, 1)], strings.Replace(example, `"t1"`, fmt.Sprintf(`"t%d"`, i), 1))
			}
			text.WriteString("\n]\n")
			for b.Loop() {
				if got, err := read(bytes.NewReader(text.Bytes())); err != nil || len(got) != n {
					b.Fatal(len(got), err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/ticket")
		})
	}
}

func BenchmarkRead(b *testing.B) {
	var text bytes.Buffer
	for i := range 1000 {
		fmt.Fprintln(&text, strings.NewReplacer(`"t1"`, fmt.Sprintf(`"t%d"`, i), `"p1"`, fmt.Sprintf(`"p%d"`, i)).Replace(example))
	}
	b.SetBytes(int64(text.Len()))
	for b.Loop() {
		if _, err := read(bytes.NewReader(text.Bytes())); err != nil {
			b.Fatal(err)
		}
	}
}

// Recordings are real days: tickets come again, players come again, and the AWS
// command line prints lists.
func TestReadRealDays(t *testing.T) {
	ticket := func(id, player, more string) string {
		return fmt.Sprintf(`{"TicketId":%q,"StartTime":1,"Players":[{"PlayerId":%q}]%s}`, id, player, more)
	}
	a, b, again := ticket("a", "x", ""), ticket("b", "x", `,"EndTime":9`), ticket("a", "x", `,"Status":"CANCELLED","EndTime":5`)
	double := `{"TicketId":"d","StartTime":1,"Players":[{"PlayerId":"y"},{"PlayerId":"y"}]}`
	pretty := "{\n    \"TicketList\": [\n        " + strings.Join([]string{a, b, again, double}, ",\n        ") + "\n    ]\n}\n"
	for name, text := range map[string]string{
		"one a line":    strings.Join([]string{a, b, again, double}, "\n"),
		"as printed":    pretty,
		"on one line":   `{"TicketList":[` + strings.Join([]string{a, b, again, double}, ",") + `]}`,
		"a list":        "[" + strings.Join([]string{a, b, again, double}, ",\n") + "]",
		"two pages":     `{"TicketList":[` + a + "," + b + "]}\n{\"TicketList\":[" + again + "," + double + "]}",
		"on many lines": strings.NewReplacer(`{"TicketId"`, "{\n\"TicketId\"", `"StartTime"`, "\n\"StartTime\"").Replace(a + b + again + double),
		"a mark":        "\ufeff" + pretty,
		"members first": `{"ResponseMetadata":{"]":["TicketList"]},"NextToken":"\\\"","TicketList":[` + strings.Join([]string{a, b, again, double}, ",") + `],"x":{}}`,
		"on two lines":  `{"ResponseMetadata":{},` + "\n" + `"TicketList":[` + strings.Join([]string{a, b, again, double}, ",") + `]}`,
		"much first":    "{\n\"ResponseMetadata\":\n{\n\"x\":\n[\n]\n}\n,\"TicketList\":[" + strings.Join([]string{a, b, again, double}, ",") + `]}`,
		"a list a line": a + "\n" + `{"x":1,"TicketList":[` + b + "," + again + "]}\n" + double,
		"ticket as is":  `{"TicketList":` + a + "}\n" + `{"TicketList":` + b + "}\n" + `{"TicketList":[` + again + "," + double + "]}",
		"list and more": "[" + a + "," + b + "]" + again + "[" + double + "]",
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ticketfile.Read(strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Tickets) != 2 || got.Tickets[0].ID != "b" || got.Tickets[1].ID != "a" || got.Ended[0].Unix() != 9 || got.Ended[1].Unix() != 5 {
				t.Errorf("got %+v", got)
			}
			var why []string
			for _, l := range got.LeftOut {
				why = append(why, l.Why)
			}
			slices.Sort(why)
			if diff := cmp.Diff([]string{ticketfile.PlayerTwice, ticketfile.Repeated}, why); diff != "" {
				t.Error(diff)
			}
		})
	}
	for text, want := range map[string]string{
		"{\n\"TicketList\": [\n" + a + ",\n{}]}":                                 "line 4: TicketList[1].TicketId: is missing",
		"[\n" + a + ",\n7]":                                                      "line 3: [1]: must be an object",
		"[" + a + "\n":                                                           "line 1: must be JSON to the end of the file",
		"[\n" + a + ",\n{\"Tick":                                                 "line 3: must be JSON to the end of the file",
		"[\n" + a + ",\n{\"Tick\n\n":                                             "line 3: must be JSON to the end of the file",
		"[\n" + a + ",\n" + b + "\n\n":                                           "line 3: must be JSON to the end of the file",
		"[\n" + a + "\n" + b + "]":                                               "line 3: must be JSON to the end of the file",
		"[\n" + a + ",\n\n]":                                                     "line 4: must be JSON to the end of the file",
		"[\n{\n\"a\": 1,\n\"b\": tru,\n\"c\": 2}]":                               "line 4: must be JSON to the end of the file",
		"{\n\"TicketList\": [\n" + a + "\n]":                                     "line 4: must be JSON to the end of the file",
		"{\n\"TicketList\": [\n" + a + "\n}":                                     "line 4: must be JSON to the end of the file",
		"{\n\"TicketList\": [\n],\n\"x\": nul}":                                  "line 4: must be JSON to the end of the file",
		`{"TicketList": 3}`:                                                      "line 1: TicketList: must be a list",
		"{\"TicketList\": [" + a + "],\n\"TicketList\":\n[" + b + "]}":           "line 2: TicketList: is there more than once",
		`{"TicketList":[` + a + `],"TicketList":[` + b + `]}`:                    "line 1: TicketList: is there more than once",
		a + "\n" + `{"TicketList":[` + b + `],"TicketList":[]}`:                  "line 2: TicketList: is there more than once",
		a + "\n" + `{"TicketList":[` + b + `,{}]}`:                               "line 2: TicketList[1].TicketId: is missing",
		a + "\n" + `{"TicketList":[` + b:                                         "line 2: must be one JSON object",
		"{\n\"TicketId\": \"a\",\n\"TicketId\": \"b\"}":                          "line 1: TicketId: is there more than once",
		strings.TrimSuffix(a, "}") + "\n" + b + "\n" + again:                     "line 1: must be one JSON object",
		a[:30] + "\n" + b + "\n" + again:                                         "line 1: must be one JSON object",
		`{"ResponseMetadata":{"TicketList":1,"x":"\"TicketList\":"}}` + "\n" + a: "line 1: TicketId: is missing",
		`{"TicketList": [{"TicketId":"a","StartTime":1,"EndTime":"soon","Players":[{"PlayerId":"x"}]}]}`: "line 1: TicketList[0].EndTime: must be a time as RFC 3339, or seconds since 1970",
	} {
		if _, err := ticketfile.Read(strings.NewReader(text)); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
	if got, err := ticketfile.Read(strings.NewReader(`{"TicketList": []}`)); err != nil || len(got.Tickets) != 0 {
		t.Errorf("nobody: %v, %v", got, err)
	}
}
