package journal

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"torikumi/pkg/token"
)

// TestDiskThatFails breaks the open file under a Replay: nobody is admitted
// without a record, and everybody again once the disk works.
func TestDiskThatFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pod")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "used")
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	r, err := OpenReplay(path, func() time.Time { return start })
	if err != nil {
		t.Fatal(err)
	}
	use := func(id string) error { return r.Use(id, start.Add(time.Minute), start) }
	if err := use("before"); err != nil {
		t.Fatal(err)
	}
	// A file that was opened for reading cannot be written.
	r.journal.close()
	if r.journal.file, err = os.Open(path); err != nil {
		t.Fatal(err)
	}
	moved := dir + "-away"
	var refusal *token.Refusal
	if err := use("during"); !errors.As(err, &refusal) || refusal.Reason != token.ReasonJournalUnavailable || !refusal.Retryable() {
		t.Errorf("write fails: %v", err)
	}
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	if err := use("during"); !errors.As(err, &refusal) || refusal.Reason != token.ReasonJournalUnavailable {
		t.Errorf("directory gone: %v", err)
	}
	if err := r.MarkFresh(); err == nil {
		t.Error("directory gone: MarkFresh succeeds")
	}
	if err := r.Use("old", start.Add(time.Minute), start.Add(-time.Second)); !errors.As(err, &refusal) || refusal.Reason != token.ReasonIssuedBeforeStart {
		t.Errorf("after MarkFresh has failed: %v", err)
	}
	if err := os.Rename(moved, dir); err != nil {
		t.Fatal(err)
	}
	if err := use("during"); err != nil {
		t.Errorf("disk works again: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err = OpenReplay(path, func() time.Time { return start }); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"before", "during"} {
		if err := use(id); !errors.As(err, &refusal) || refusal.Reason != token.ReasonReplayed {
			t.Errorf("%s after a restart: %v", id, err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

func FuzzReadJournal(f *testing.F) {
	for _, seed := range []string{"", "torikumi-replay-1 0\n", "torikumi-replay-1 5\nabc 7\n", "torikumi-replay-1 5\nabc 7\nde", "\n\n", "x 1\ny"} {
		f.Add([]byte(seed))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(dir, "used")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		first, _, err := readJournal(path)
		if err != nil {
			t.Fatal(err)
		}
		// What was understood is the same after it has been written again.
		j := journal{path: path}
		if err := j.rewrite(&first); err != nil {
			t.Fatal(err)
		}
		j.close()
		second, whole, err := readJournal(path)
		if err != nil || !whole || !second.start.Equal(first.start) || len(second.used) != len(first.used) {
			t.Errorf("%+v became %+v (whole %v, %v)", first, second, whole, err)
		}
	})
}
