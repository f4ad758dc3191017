package journal_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"torikumi/gameserver/internal/journal"
	"torikumi/pkg/token"
	"torikumi/pkg/token/tokentest"
)

var begin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

// clock is a clock that only the test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, path string, now func() time.Time) *journal.Journal {
	t.Helper()
	j, err := journal.Open(path, now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return j
}

// restart opens the journal as a new process does after the old one was killed.
func restart(t testing.TB, j *journal.Journal, path string, now func() time.Time) *journal.Journal {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, path, now)
}

func id(n int) string { return fmt.Sprintf("%022d", n) }

// admit spends a token of a player of its own.
func admit(j *journal.Journal, id string, exp, iat time.Time) error {
	_, err := j.Admit(journal.Player{Player: "p" + id, Admission: id, Since: iat}, exp, iat)
	return err
}

// use spends a token that was issued now and is good for two minutes.
func use(t testing.TB, j *journal.Journal, n int, iat time.Time) token.Reason {
	t.Helper()
	return tokentest.Reason(t, admit(j, id(n), iat.Add(2*time.Minute), iat))
}

func TestAdmitsOnce(t *testing.T) {
	for _, path := range []string{"", filepath.Join(t.TempDir(), "used")} {
		j := open(t, path, at(begin))
		if got := use(t, j, 1, begin); got != "" {
			t.Errorf("%q: first use: %s", path, got)
		}
		for range 3 {
			if got := use(t, j, 1, begin); got != token.ReasonReplayed {
				t.Errorf("%q: second use: %q", path, got)
			}
		}
		if got := use(t, j, 2, begin); got != "" {
			t.Errorf("%q: another token: %s", path, got)
		}
	}
}

func TestSurvivesRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "used")
	c := &clock{t: begin}
	j := open(t, path, c.now)
	use(t, j, 1, begin)
	c.advance(5 * time.Second)
	j = restart(t, j, path, c.now)
	if got := use(t, j, 1, begin); got != token.ReasonReplayed {
		t.Errorf("used token after restart: %q", got)
	}
	if got := use(t, j, 2, begin.Add(time.Second)); got != "" {
		t.Errorf("a token issued before the restart, not used: %s; the journal was there, so it must be admitted", got)
	}
}

// TestUseIsOnDisk opens what a killed process leaves.
func TestUseIsOnDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "used")
	j := open(t, path, at(begin))
	for n := range 3 {
		use(t, j, n, begin)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		left := filepath.Join(t.TempDir(), "used")
		write(t, left, data)
		after := open(t, left, at(begin))
		for used := range n + 1 {
			if got := use(t, after, used, begin); got != token.ReasonReplayed {
				t.Errorf("killed after use %d: token %d: %q", n, used, got)
			}
		}
	}
}

func TestLostJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "used")
	start := begin.Add(500 * time.Millisecond)
	c := &clock{t: start}
	j := open(t, path, c.now)
	check := func(when string) {
		t.Helper()
		for n, test := range []struct {
			iat  time.Time
			want token.Reason
		}{
			{begin.Add(-time.Second), token.ReasonIssuedBeforeStart},
			// The same second: issued before or after the start, who knows.
			{begin, token.ReasonIssuedBeforeStart},
		} {
			if got := use(t, j, n, test.iat); got != test.want {
				t.Errorf("%s: iat %v: %q, want %q", when, test.iat, got, test.want)
			}
		}
	}
	check("at the start")
	if got := use(t, j, 7, begin.Add(time.Second)); got != "" {
		t.Errorf("issued in the second after the start: %s", got)
	}
	c.advance(10 * time.Second)
	j = restart(t, j, path, c.now)
	check("after a restart with the journal")
	if got := use(t, j, 8, begin.Add(2*time.Second)); got != "" {
		t.Errorf("issued after the first start: %s", got)
	}
	if err := j.MarkFresh(); err != nil {
		t.Fatal(err)
	}
	if got := use(t, j, 9, begin.Add(-time.Second)); got != "" {
		t.Errorf("marked fresh: %s", got)
	}
	if got := use(t, j, 7, begin.Add(time.Second)); got != token.ReasonReplayed {
		t.Errorf("marked fresh, used before: %q", got)
	}
	j = restart(t, j, path, c.now)
	if got := use(t, j, 10, begin.Add(-time.Second)); got != "" {
		t.Errorf("marked fresh, restarted: %s", got)
	}
	if got := use(t, j, 9, begin.Add(-time.Second)); got != token.ReasonReplayed {
		t.Errorf("marked fresh, restarted, used before: %q", got)
	}
}

func TestMarkFreshInMemory(t *testing.T) {
	j := open(t, "", at(begin.Add(500*time.Millisecond)))
	if got := use(t, j, 1, begin); got != token.ReasonIssuedBeforeStart {
		t.Errorf("memory only: %q", got)
	}
	for range 2 {
		if err := j.MarkFresh(); err != nil {
			t.Fatal(err)
		}
	}
	if got := use(t, j, 1, begin); got != "" {
		t.Errorf("marked fresh: %s", got)
	}
}

func TestDamagedFiles(t *testing.T) {
	header := `{"type":"begin","version":1,"at":"2026-03-01T11:00:00Z"}` + "\n"
	used := func(n int) string {
		return fmt.Sprintf(`{"type":"used","jti":%q,"exp":%d}`, id(n), begin.Add(time.Minute).Unix())
	}
	line := used(1) + "\n"
	for name, test := range map[string]struct {
		text    string
		used    bool // the use of token 1 is known
		damaged bool // so that older tokens must be refused
	}{
		"whole":                   {header + line, true, false},
		"admitted":                {header + strings.Replace(line, `"used"`, `"admitted","player":"p"`, 1), true, false},
		"torn last line":          {header + line + used(2)[:50], true, false},
		"last line without end":   {header + line + used(2), true, false},
		"only the header":         {header, false, false},
		"empty":                   {"", false, true},
		"torn header":             {header[:10], false, true},
		"other version":           {strings.Replace(header, `"version":1`, `"version":2`, 1) + line, true, true},
		"no header":               {"{}\n" + line, true, true},
		"header twice":            {header + line + header, true, true},
		"rubbish in between":      {header + "\x00\x00\x00\n" + line, true, true},
		"empty line":              {header + "\n" + line, true, true},
		"two records in a line":   {header + used(2) + used(2) + "\n" + line, true, true},
		"unknown type":            {header + `{"type":"other"}` + "\n" + line, true, true},
		"used without id":         {header + `{"type":"used"}` + "\n" + line, true, true},
		"admitted without player": {header + `{"type":"admitted","jti":"x"}` + "\n" + line, true, true},
		"departed who never came": {header + `{"type":"departed","player":"p"}` + "\n" + line, true, true},
		"binary":                  {strings.Repeat("\x00\xff\n", 1000), false, true},
		"of an earlier version":   {"torikumi-replay-1 0\n" + id(1) + " 17\n", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "used")
			write(t, path, []byte(test.text))
			j := open(t, path, at(begin))
			if j.Damaged() != test.damaged {
				t.Errorf("damaged: %v, want %v", j.Damaged(), test.damaged)
			}
			old := begin.Add(-10 * time.Second)
			wantOld := token.Reason("")
			if test.damaged {
				wantOld = token.ReasonIssuedBeforeStart
			}
			if got := use(t, j, 3, old); got != wantOld {
				t.Errorf("an unused old token: %q, want %q", got, wantOld)
			}
			wantUsed := wantOld
			if test.used {
				wantUsed = token.ReasonReplayed
			}
			if got := use(t, j, 1, old); got != wantUsed {
				t.Errorf("token 1: %q, want %q", got, wantUsed)
			}
			// What the torn line was about has not been answered.
			if got := use(t, j, 2, begin); got != "" {
				t.Errorf("token 2: %q", got)
			}
			j = restart(t, j, path, at(begin))
			if got := use(t, j, 2, begin); got != token.ReasonReplayed {
				t.Errorf("token 2 after a restart: %q", got)
			}
		})
	}
}

// TestExpiryGap: a token is remembered for as long as the most
// lenient verifier accepts it.
func TestExpiryGap(t *testing.T) {
	path := filepath.Join(t.TempDir(), "used")
	c := &clock{t: begin}
	j := open(t, path, c.now)
	exp := begin.Add(2 * time.Minute)
	use(t, j, 1, begin)
	for range 10 {
		c.advance(30 * time.Second)
		j = restart(t, j, path, c.now) // forgets what it may
		got := tokentest.Reason(t, admit(j, id(1), exp, begin))
		want := token.ReasonReplayed
		if !c.now().Before(exp.Add(token.MaxLeeway)) {
			want = token.ReasonExpired
		}
		if got != want {
			t.Errorf("at %v: %q, want %q", c.now(), got, want)
		}
	}
}

func TestCompaction(t *testing.T) {
	path := filepath.Join(t.TempDir(), "used")
	c := &clock{t: begin}
	j := open(t, path, c.now)
	const uses = 700 // each waits for the disk
	for n := range uses {
		// One player who comes again and again.
		_, err := j.Admit(journal.Player{Player: "ann", Admission: id(n), Since: c.now()}, c.now().Add(2*time.Minute), c.now())
		if err != nil {
			t.Fatalf("use %d: %v", n, err)
		}
		c.advance(10 * time.Second)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	// 24 tokens live at a time, and 256 uses pass between sweeps.
	if limit := int64(300 * 160); info.Size() > limit {
		t.Errorf("journal of %d bytes after %d uses, want at most %d", info.Size(), uses, limit)
	}
	if got := use(t, j, uses-1, c.now()); got != token.ReasonReplayed {
		t.Errorf("the last use after compaction: %q", got)
	}
	j = restart(t, j, path, c.now)
	if got := use(t, j, uses-1, c.now()); got != token.ReasonReplayed {
		t.Errorf("the last use after compaction and restart: %q", got)
	}
}

func TestBadIDs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "used")
	j := open(t, path, at(begin))
	for _, bad := range []string{"", "a b", "a\n", "é", strings.Repeat("x", 65)} {
		if got := tokentest.Reason(t, admit(j, bad, begin.Add(time.Minute), begin)); got != token.ReasonBadClaim {
			t.Errorf("%q: %q", bad, got)
		}
	}
}

func TestAfterClose(t *testing.T) {
	for _, path := range []string{"", filepath.Join(t.TempDir(), "used")} {
		j := open(t, path, at(begin))
		for range 2 {
			if err := j.Close(); err != nil {
				t.Error(err)
			}
		}
		if got := use(t, j, 1, begin); got != token.ReasonJournalUnavailable {
			t.Errorf("use after close: %q", got)
		}
		if j.MarkFresh() == nil {
			t.Error("MarkFresh after close: no error")
		}
	}
}

func TestLock(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no lock there")
	}
	path := filepath.Join(t.TempDir(), "used")
	j := open(t, path, at(begin))
	if _, err := journal.Open(path, at(begin)); err == nil {
		t.Fatal("two open the same journal")
	}
	use(t, j, 1, begin)
	j = restart(t, j, path, at(begin))
	if got := use(t, j, 1, begin); got != token.ReasonReplayed {
		t.Errorf("%q", got)
	}
}

func TestWithoutDirectory(t *testing.T) {
	if _, err := journal.Open(filepath.Join(t.TempDir(), "none", "used"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v, want an error about the directory", err)
	}
}

func BenchmarkAdmit(b *testing.B) {
	for name, path := range map[string]string{"memory": "", "journal": filepath.Join(b.TempDir(), "used")} {
		j := open(b, path, at(begin))
		n := 0
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				n++
				if _, err := j.Admit(journal.Player{Player: "ann", Admission: id(n)}, begin.Add(time.Minute), begin); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
