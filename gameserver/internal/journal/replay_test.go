package journal_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
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

func openReplay(t testing.TB, path string, now func() time.Time) *journal.Replay {
	t.Helper()
	r, err := journal.OpenReplay(path, now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// restart opens the journal as a new process does after the old one was killed.
func restart(t testing.TB, r *journal.Replay, path string, now func() time.Time) *journal.Replay {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return openReplay(t, path, now)
}

func id(n int) string { return fmt.Sprintf("%022d", n) }

// use spends a token that was issued now and is good for two minutes.
func use(t testing.TB, r *journal.Replay, n int, iat time.Time) token.Reason {
	t.Helper()
	return tokentest.Reason(t, r.Use(id(n), iat.Add(2*time.Minute), iat))
}

func TestReplayAdmitsOnce(t *testing.T) {
	for _, path := range []string{"", filepath.Join(t.TempDir(), "used")} {
		r := openReplay(t, path, at(begin))
		if got := use(t, r, 1, begin); got != "" {
			t.Errorf("%q: first use: %s", path, got)
		}
		for range 3 {
			if got := use(t, r, 1, begin); got != token.ReasonReplayed {
				t.Errorf("%q: second use: %q", path, got)
			}
		}
		if got := use(t, r, 2, begin); got != "" {
			t.Errorf("%q: another token: %s", path, got)
		}
	}
}

func TestReplayRace(t *testing.T) {
	for _, path := range []string{"", filepath.Join(t.TempDir(), "used")} {
		r := openReplay(t, path, at(begin))
		const tokens, tries = 20, 8
		var wins [tokens]atomic.Int64
		var wg sync.WaitGroup
		for n := range tokens {
			for range tries {
				wg.Go(func() {
					switch err := r.Use(id(n), begin.Add(time.Minute), begin); tokentest.Reason(t, err) {
					case "":
						wins[n].Add(1)
					case token.ReasonReplayed:
					default:
						t.Error(err)
					}
				})
			}
		}
		wg.Wait()
		for n := range wins {
			if got := wins[n].Load(); got != 1 {
				t.Errorf("%q: token %d admitted %d times", path, n, got)
			}
		}
	}
}

func TestReplaySurvivesRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "used")
	c := &clock{t: begin}
	r := openReplay(t, path, c.now)
	use(t, r, 1, begin)
	c.advance(5 * time.Second)
	r = restart(t, r, path, c.now)
	if got := use(t, r, 1, begin); got != token.ReasonReplayed {
		t.Errorf("used token after restart: %q", got)
	}
	if got := use(t, r, 2, begin.Add(time.Second)); got != "" {
		t.Errorf("a token issued before the restart, not used: %s; the journal was there, so it must be admitted", got)
	}
}

// TestReplayUseIsOnDiskBeforeTheAnswer opens what a killed process leaves.
func TestReplayUseIsOnDiskBeforeTheAnswer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "used")
	r := openReplay(t, path, at(begin))
	for n := range 3 {
		use(t, r, n, begin)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		left := filepath.Join(t.TempDir(), "used")
		write(t, left, data)
		after := openReplay(t, left, at(begin))
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
	r := openReplay(t, path, c.now)
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
			if got := use(t, r, n, test.iat); got != test.want {
				t.Errorf("%s: iat %v: %q, want %q", when, test.iat, got, test.want)
			}
		}
	}
	check("at the start")
	if got := use(t, r, 7, begin.Add(time.Second)); got != "" {
		t.Errorf("issued in the second after the start: %s", got)
	}
	c.advance(10 * time.Second)
	r = restart(t, r, path, c.now)
	check("after a restart with the journal")
	if got := use(t, r, 8, begin.Add(2*time.Second)); got != "" {
		t.Errorf("issued after the first start: %s", got)
	}
	if err := r.MarkFresh(); err != nil {
		t.Fatal(err)
	}
	if got := use(t, r, 9, begin.Add(-time.Second)); got != "" {
		t.Errorf("marked fresh: %s", got)
	}
	if got := use(t, r, 7, begin.Add(time.Second)); got != token.ReasonReplayed {
		t.Errorf("marked fresh, used before: %q", got)
	}
	r = restart(t, r, path, c.now)
	if got := use(t, r, 10, begin.Add(-time.Second)); got != "" {
		t.Errorf("marked fresh, restarted: %s", got)
	}
	if got := use(t, r, 9, begin.Add(-time.Second)); got != token.ReasonReplayed {
		t.Errorf("marked fresh, restarted, used before: %q", got)
	}
}

func TestMarkFreshInMemory(t *testing.T) {
	r := openReplay(t, "", at(begin.Add(500*time.Millisecond)))
	if got := use(t, r, 1, begin); got != token.ReasonIssuedBeforeStart {
		t.Errorf("memory only: %q", got)
	}
	for range 2 {
		if err := r.MarkFresh(); err != nil {
			t.Fatal(err)
		}
	}
	if got := use(t, r, 1, begin); got != "" {
		t.Errorf("marked fresh: %s", got)
	}
}

func TestBrokenJournals(t *testing.T) {
	header := fmt.Sprintf("torikumi-replay-1 %d\n", begin.Add(-time.Hour).UnixNano())
	line := fmt.Sprintf("%s %d\n", id(1), begin.Add(time.Minute).Unix())
	for name, test := range map[string]struct {
		text    string
		used    bool // the use of token 1 is known
		damaged bool // so that older tokens must be refused
	}{
		"whole":                {header + line, true, false},
		"torn last line":       {header + line + id(2) + " 17", true, false},
		"torn in the id":       {header + line + "000", true, false},
		"only the header":      {header, false, false},
		"empty":                {"", false, true},
		"torn header":          {header[:10], false, true},
		"other magic":          {"something else 12\n" + line, true, true},
		"header without start": {"torikumi-replay-1\n" + line, true, true},
		"rubbish in between":   {header + "\x00\x00\x00\n" + line, true, true},
		"line without time":    {header + id(2) + "\n" + line, true, true},
		"binary":               {strings.Repeat("\x00\xff\n", 1000), false, true},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "used")
			write(t, path, []byte(test.text))
			r := openReplay(t, path, at(begin))
			old := begin.Add(-10 * time.Second)
			wantOld := token.Reason("")
			if test.damaged {
				wantOld = token.ReasonIssuedBeforeStart
			}
			if got := use(t, r, 3, old); got != wantOld {
				t.Errorf("an unused old token: %q, want %q", got, wantOld)
			}
			wantUsed := wantOld
			if test.used {
				wantUsed = token.ReasonReplayed
			}
			if got := use(t, r, 1, old); got != wantUsed {
				t.Errorf("token 1: %q, want %q", got, wantUsed)
			}
			// What the torn line was about has not been answered.
			if got := use(t, r, 2, begin); got != "" {
				t.Errorf("token 2: %q", got)
			}
			r = restart(t, r, path, at(begin))
			if got := use(t, r, 2, begin); got != token.ReasonReplayed {
				t.Errorf("token 2 after a restart: %q", got)
			}
		})
	}
}

// TestExpiryAndReplayLeaveNoGap: a token is remembered for as long as the most
// lenient verifier accepts it.
func TestExpiryAndReplayLeaveNoGap(t *testing.T) {
	path := filepath.Join(t.TempDir(), "used")
	c := &clock{t: begin}
	r := openReplay(t, path, c.now)
	exp := begin.Add(2 * time.Minute)
	use(t, r, 1, begin)
	for range 10 {
		c.advance(30 * time.Second)
		r = restart(t, r, path, c.now) // forgets what it may
		got := tokentest.Reason(t, r.Use(id(1), exp, begin))
		want := token.ReasonReplayed
		if !c.now().Before(exp.Add(token.MaxLeeway)) {
			want = token.ReasonExpired
		}
		if got != want {
			t.Errorf("at %v: %q, want %q", c.now(), got, want)
		}
	}
}

func TestJournalIsCompacted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "used")
	c := &clock{t: begin}
	r := openReplay(t, path, c.now)
	for n := range 2000 {
		if got := use(t, r, n, c.now()); got != "" {
			t.Fatalf("use %d: %s", n, got)
		}
		c.advance(10 * time.Second)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	// 24 tokens live at a time, and 256 uses pass between sweeps.
	if limit := int64(300 * 40); info.Size() > limit {
		t.Errorf("journal of %d bytes after 2,000 uses, want at most %d", info.Size(), limit)
	}
	if got := use(t, r, 1999, c.now()); got != token.ReasonReplayed {
		t.Errorf("the last use after compaction: %q", got)
	}
	r = restart(t, r, path, c.now)
	if got := use(t, r, 1999, c.now()); got != token.ReasonReplayed {
		t.Errorf("the last use after compaction and restart: %q", got)
	}
}

func TestReplayRefusesBadIDs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "used")
	r := openReplay(t, path, at(begin))
	for _, bad := range []string{"", "a b", "a\n", "é", strings.Repeat("x", 65)} {
		if got := tokentest.Reason(t, r.Use(bad, begin.Add(time.Minute), begin)); got != token.ReasonBadClaim {
			t.Errorf("%q: %q", bad, got)
		}
	}
}

func TestReplayAfterClose(t *testing.T) {
	for _, path := range []string{"", filepath.Join(t.TempDir(), "used")} {
		r := openReplay(t, path, at(begin))
		for range 2 {
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
		if got := use(t, r, 1, begin); got != token.ReasonJournalUnavailable {
			t.Errorf("use after close: %q", got)
		}
		if r.MarkFresh() == nil {
			t.Error("MarkFresh after close: no error")
		}
	}
}

func TestJournalBelongsToOne(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no lock there")
	}
	path := filepath.Join(t.TempDir(), "used")
	r := openReplay(t, path, at(begin))
	if _, err := journal.OpenReplay(path, at(begin)); err == nil {
		t.Fatal("two open the same journal")
	}
	use(t, r, 1, begin)
	r = restart(t, r, path, at(begin))
	if got := use(t, r, 1, begin); got != token.ReasonReplayed {
		t.Errorf("%q", got)
	}
}

func TestReplayWithoutDirectory(t *testing.T) {
	if _, err := journal.OpenReplay(filepath.Join(t.TempDir(), "none", "used"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v, want an error about the directory", err)
	}
}

func BenchmarkReplayUse(b *testing.B) {
	for name, path := range map[string]string{"memory": "", "journal": filepath.Join(b.TempDir(), "used")} {
		r := openReplay(b, path, at(begin))
		n := 0
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				n++
				if err := r.Use(id(n), begin.Add(time.Minute), begin); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
