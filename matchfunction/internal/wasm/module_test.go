package wasm

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"torikumi/matchfunction/internal/wasm/wasmtest"
	"torikumi/matchfunction/rule"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func compile(t testing.TB, text []byte) *Module {
	t.Helper()
	limits := DefaultLimits
	limits.Call = time.Minute // the machine may be busy
	m, err := Compile(t.Context(), "test.wasm", text, limits)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func ruleOf(t testing.TB, text []byte, parameters json.RawMessage) rule.Rule {
	t.Helper()
	r, err := compile(t, text).Factory(parameters)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// match has players of one ticket each.
func match(players int) *rule.Match {
	m := &rule.Match{Teams: []rule.Team{{Name: "all"}}}
	for i := range players {
		t := &rule.Ticket{ID: fmt.Sprintf("t%d", i), Players: []rule.Player{{ID: fmt.Sprintf("p%d", i)}}}
		m.Tickets = append(m.Tickets, t)
		m.Teams[0].Members = append(m.Teams[0].Members, rule.Member{Player: &t.Players[0], Ticket: t})
	}
	return m
}

func TestJudge(t *testing.T) {
	r := ruleOf(t, wasmtest.Judge("too many", wasmtest.AtMost(3, "too many")), nil)
	for range 3 {
		if err := r.Allows(match(3)); err != nil {
			t.Error(err)
		}
		if err := r.Allows(match(4)); err == nil || err.Error() != "too many" {
			t.Error(err)
		}
	}
}

// Each of these refuses the match as a failure, and says why; the next call is
// that of a new instance, which is seen by what it has counted.
func TestFailures(t *testing.T) {
	judge := func(body []byte) []byte { return wasmtest.Judge("no", body) }
	for name, c := range map[string]struct {
		module []byte
		want   string
	}{
		"trap":             {judge(wasmtest.Unreachable), "rule_judge: wasm error: unreachable"},
		"hangs":            {judge(wasmtest.Forever), "rule_judge: takes longer than 20ms"},
		"no loop":          {wasmtest.Module{Pages: 16, Functions: []wasmtest.Function{wasmtest.Alloc, {Export: "rule_judge", Body: wasmtest.Fill(1<<20, 300)}}}.Bytes(), "rule_judge: takes longer than 1ms"},
		"memory":           {judge(wasmtest.Grow), "rule_judge: wasm error: unreachable"},
		"recursion":        {judge(wasmtest.Call(1)), "rule_judge: stack overflow"},
		"no text":          {judge(wasmtest.Answer(1)), "rule_judge: answers 0x1, which is neither 0 nor a text: its address is 0, its length 1"},
		"no length":        {judge(wasmtest.Answer(16 << 32)), "its address is 16, its length 0"},
		"long":             {judge(wasmtest.Answer(16<<32 | 1025)), "answers with a text of 1025 bytes, may have at most 1024"},
		"outside":          {judge(wasmtest.Answer(65535<<32 | 2)), "answers with a text outside of its memory: address 65535, length 2"},
		"far outside":      {judge(wasmtest.Answer(0xffffffff<<32 | 2)), "answers with a text outside of its memory"},
		"control":          {wasmtest.Refuse("a\nb"), "has control characters"},
		"no UTF-8":         {wasmtest.Refuse("a\xff"), "that is no UTF-8"},
		"no room":          {wasmtest.Module{Functions: []wasmtest.Function{{Export: "rule_alloc", Body: []byte{0x41, 0}}, {Export: "rule_judge", Body: wasmtest.Answer(0)}}}.Bytes(), "rule_alloc has no room for "},
		"room outside":     {wasmtest.Module{Functions: []wasmtest.Function{{Export: "rule_alloc", Body: []byte{0x41, 0x7f}}, {Export: "rule_judge", Body: wasmtest.Answer(0)}}}.Bytes(), "outside of the memory"},
		"alloc that hangs": {wasmtest.Module{Functions: []wasmtest.Function{{Export: "rule_alloc", Body: wasmtest.Forever}, {Export: "rule_judge", Body: wasmtest.Answer(0)}}}.Bytes(), "takes longer than 20ms"},
	} {
		t.Run(name, func(t *testing.T) {
			limits := Limits{Call: time.Minute, MemoryMiB: 1}
			if _, limit, ok := strings.Cut(c.want, "takes longer than "); ok {
				var err error
				if limits.Call, err = time.ParseDuration(limit); err != nil {
					t.Fatal(err)
				}
			}
			m, err := Compile(t.Context(), "test.wasm", c.module, limits)
			if err != nil {
				t.Fatal(err)
			}
			r, err := m.Factory(nil)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				err = r.Allows(match(1))
				if failure := (*rule.Failure)(nil); !errors.As(err, &failure) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
					t.Errorf("got %v, want %s", err, c.want)
				}
				if n := len(m.idle.list); n != 0 {
					t.Errorf("%d instances that failed are kept", n)
				}
			}
		})
	}
}

func TestInstanceIsMadeAnew(t *testing.T) {
	// It allows the first call of an instance, and fails in the second.
	turns := wasmtest.Join(wasmtest.Turns("no")[:len(wasmtest.Turns("no"))-len(wasmtest.Text("no"))-1], []byte{0x00, 0x0b})
	r := ruleOf(t, wasmtest.Judge("no", turns), nil)
	for i := range 6 {
		if err := r.Allows(match(1)); (err == nil) != (i%2 == 0) {
			t.Errorf("call %d: %v", i, err)
		}
	}
}

func TestParameters(t *testing.T) {
	// rule_init refuses what has a length: "if length then text else 0".
	init := wasmtest.Join([]byte{0x20, 1, 0x04, 0x7e}, wasmtest.Text("no parameters"), []byte{0x05}, wasmtest.Answer(0), []byte{0x0b})
	with := func(body []byte) []byte {
		return wasmtest.Module{Data: "no parameters", Functions: []wasmtest.Function{wasmtest.Alloc, {Export: "rule_judge", Body: wasmtest.Answer(0)}, {Export: "rule_init", Body: body}}}.Bytes()
	}
	for name, c := range map[string]struct {
		module     []byte
		parameters string
		want       string
	}{
		"none, no rule_init": {wasmtest.Allow(), "", ""},
		"no rule_init":       {wasmtest.Allow(), "1", "the module takes none: it exports no rule_init"},
		"none":               {with(init), "", ""},
		"refused":            {with(init), "1", "no parameters"},
		"trap":               {with(wasmtest.Unreachable), "", "rule_init: wasm error: unreachable"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := compile(t, c.module).Factory(json.RawMessage(c.parameters))
			if c.want == "" && err != nil || c.want != "" && (err == nil || err.Error() != c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestWrongModules(t *testing.T) {
	alloc, judge := wasmtest.Alloc, wasmtest.Function{Export: "rule_judge", Body: wasmtest.Answer(0)}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(make([]byte, maxModule+1)); err != nil {
		t.Fatal(err)
	}
	w.Close()
	for name, c := range map[string]struct {
		module []byte
		want   string
	}{
		"empty":                 {nil, "is no WebAssembly module"},
		"text":                  {[]byte("#!/bin/sh\n"), "is no WebAssembly module"},
		"cut off":               {wasmtest.Allow()[:40], "is no WebAssembly module"},
		"no judge":              {wasmtest.Module{Functions: []wasmtest.Function{alloc}}.Bytes(), "exports no function rule_judge"},
		"no alloc":              {wasmtest.Module{Functions: []wasmtest.Function{judge}}.Bytes(), "exports no function rule_alloc"},
		"no memory":             {wasmtest.Module{NoMemory: true, Functions: []wasmtest.Function{alloc, judge}}.Bytes(), "exports no memory"},
		"imports":               {wasmtest.Module{Imports: []string{"now"}, Functions: []wasmtest.Function{alloc, judge}}.Bytes(), "imports env.now, and may import nothing but wasi_snapshot_preview1"},
		"signature":             {wasmtest.Module{Functions: []wasmtest.Function{alloc, judge, {Export: "rule_init", Body: wasmtest.Answer(0)}, {Export: "_start"}}}.Bytes(), "is a program (it exports _start), and has to be a library"},
		"memory":                {wasmtest.Module{Pages: 16*DefaultLimits.MemoryMiB + 1, Functions: []wasmtest.Function{alloc, judge}}.Bytes(), "is no WebAssembly module: "},
		"table":                 {wasmtest.Module{Tables: [][2]uint64{{mostElements, 0}, {1, 2}}, Functions: []wasmtest.Function{alloc, judge}}.Bytes(), "has tables of more than 1048576 elements"},
		"table with a value":    {withTables(1, 0x40, 0, 0x70, 0, 1, 0xd0, 0x70, 0x0b), "has tables of another form"},
		"table of typed":        {withTables(1, 0x63, 0x70, 0, 1), "has tables of another form"},
		"table of 64 bits":      {withTables(1, 0x70, 4, 1), "has tables of another form"},
		"table that is cut off": {withTables(1, 0x70, 0), "has tables of another form"},
		"table upside down":     {withTables(1, 0x70, 1, 5, 4), "has tables of another form"},
		"tables and more":       {withTables(1, 0x70, 0, 1, 0), "has tables of another form"},
		"tables":                {wasmtest.Module{Tables: make([][2]uint64, mostTables+1), Functions: []wasmtest.Function{alloc, judge}}.Bytes(), "has 17 tables, may have at most 16"},
		"gzip":                  {gzipMagic, "is no gzip"},
		"bomb":                  {packed.Bytes(), "must have at most 16777216 bytes, unpacked"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Compile(t.Context(), "test.wasm", c.module, DefaultLimits); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

// Tables are memory too: they grow to a bound and no further, whatever they say.
func TestTables(t *testing.T) {
	for name, c := range map[string]struct {
		tables [][2]uint64
		table  byte
		by     int
		grows  bool
	}{
		"a little":           {[][2]uint64{{1, 0}}, 0, 1000, true},
		"to the bound":       {[][2]uint64{{1, 0}}, 0, mostElements - 1, true},
		"above it":           {[][2]uint64{{1, 0}}, 0, mostElements, false},
		"far above it":       {[][2]uint64{{1, 0}}, 0, 100_000_000, false},
		"its own most":       {[][2]uint64{{1, 10}}, 0, 9, true},
		"above its own":      {[][2]uint64{{1, 10}}, 0, 10, false},
		"own is too much":    {[][2]uint64{{1, 1 << 31}}, 0, mostElements, false},
		"one of several":     {[][2]uint64{{1, 0}, {1, 0}, {1, 4}, {1, 0}}, 3, (mostElements - 4) / 4, true},
		"above a share":      {[][2]uint64{{1, 0}, {1, 0}, {1, 4}, {1, 0}}, 0, (mostElements-4)/4 + 1, false},
		"large and shares":   {[][2]uint64{{mostElements - 9, 0}, {1, 0}, {1, 0}}, 0, 2, true},
		"no more of a share": {[][2]uint64{{mostElements - 9, 0}, {1, 0}, {1, 0}}, 2, 3, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := ruleOf(t, wasmtest.Module{Data: "it grows", Tables: c.tables, Functions: []wasmtest.Function{wasmtest.Alloc, {Export: "rule_judge", Body: wasmtest.GrowTable(c.table, c.by, "it grows")}}}.Bytes(), nil)
			if err := r.Allows(match(1)); (err != nil) != c.grows {
				t.Errorf("got %v, want growth: %v", err, c.grows)
			}
		})
	}
}

// withTables is a module with a section of tables.
func withTables(section ...byte) []byte {
	text := wasmtest.Module{Tables: [][2]uint64{{1, 1}}, Functions: []wasmtest.Function{wasmtest.Alloc, {Export: "rule_judge", Body: wasmtest.Answer(0)}}}.Bytes()
	there := []byte{tableSection, 5, 1, 0x70, 1, 1, 1}
	return bytes.Replace(text, there, append([]byte{tableSection, byte(len(section))}, section...), 1)
}

func FuzzTables(f *testing.F) {
	f.Add(wasmtest.Allow())
	f.Add(wasmtest.Module{Tables: [][2]uint64{{1, 0}, {5, 7}}, Functions: []wasmtest.Function{wasmtest.Alloc}}.Bytes())
	f.Fuzz(func(t *testing.T, text []byte) {
		before := bytes.Clone(text)
		once, err := boundTables(text)
		if !bytes.Equal(before, text) {
			t.Fatal("the text has changed")
		}
		if err != nil {
			return
		}
		if twice, err := boundTables(once); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("bounded twice it is another: %v", err)
		}
	})
}

func TestPacked(t *testing.T) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(wasmtest.Refuse("no")); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if err := ruleOf(t, packed.Bytes(), nil).Allows(match(1)); err == nil || err.Error() != "no" {
		t.Error(err)
	}
}

// Instances that nobody uses are bounded by their memory, and each keeps to its
// parameters.
func TestIdle(t *testing.T) {
	m := compile(t, wasmtest.Module{Pages: 16 * 20, Functions: []wasmtest.Function{wasmtest.Alloc,
		{Export: "rule_init", Body: wasmtest.Answer(0)}, {Export: "rule_judge", Body: wasmtest.Answer(0)}}}.Bytes())
	for i := range 5 { // 20 MiB each
		if _, err := m.Factory(json.RawMessage(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	if len(m.idle.list) != 3 || m.idle.list[0].parameters != "2" || m.idle.size != 60<<20 {
		t.Errorf("%d are kept, %d bytes", len(m.idle.list), m.idle.size)
	}
	if in := m.idle.take("1"); in != nil {
		t.Error("one that was closed is there")
	}
	if in := m.idle.take("3"); in == nil || in.parameters != "3" || len(m.idle.list) != 2 {
		t.Error("3 is not there")
	}
}

// Many goroutines share a rule; the module keeps what it is asked about in its
// memory meanwhile, so that two in one instance would mix up.
func TestConcurrent(t *testing.T) {
	r := ruleOf(t, wasmtest.Judge("too many", wasmtest.AtMost(5, "too many")), nil)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			m := match(2 + i)
			for range 300 {
				if err := r.Allows(m); (err == nil) != (2+i <= 5) {
					t.Errorf("%d players: %v", 2+i, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

type flat []byte

func (f flat) Read(offset, count uint32) ([]byte, bool) {
	if uint64(offset)+uint64(count) > uint64(len(f)) {
		return nil, false
	}
	return f[offset : offset+count], true
}

func FuzzAnswer(f *testing.F) {
	for _, x := range []uint64{0, 1, 1 << 32, 3<<32 | 2, 1<<32 | 1024, 1<<32 | 1025, 1 << 63, ^uint64(0)} {
		f.Add(x, []byte("\x00ab\nc\xff\xc3\xa9"))
	}
	f.Fuzz(func(t *testing.T, answer uint64, memory []byte) {
		text, err := readAnswer(flat(memory), answer)
		switch {
		case answer == 0 && (text != "" || err != nil):
			t.Fatal("0 is yes")
		case answer != 0 && (text == "") == (err == nil):
			t.Fatalf("%#x: a text or an error, got %q, %v", answer, text, err)
		case text != "" && !bytes.Contains(memory, []byte(text)):
			t.Fatalf("%q is from elsewhere", text)
		}
	})
}
