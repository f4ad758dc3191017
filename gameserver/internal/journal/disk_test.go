package journal

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"torikumi/pkg/token"
)

// TestDiskThatFails breaks the open file under a Journal: nobody is admitted
// without a record, and everybody again once the disk works.
func TestDiskThatFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pod")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "used")
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	j, err := Open(path, func() time.Time { return start })
	if err != nil {
		t.Fatal(err)
	}
	use := func(id string) error {
		_, err := j.Admit(Player{Player: id, Admission: id}, start.Add(time.Minute), start)
		return err
	}
	if err := use("before"); err != nil {
		t.Fatal(err)
	}
	// A file that was opened for reading cannot be written.
	j.closeFile()
	if j.file, err = os.Open(path); err != nil {
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
	if err := j.MarkFresh(); err == nil {
		t.Error("directory gone: MarkFresh succeeds")
	}
	if _, err := j.Admit(Player{Player: "old", Admission: "old"}, start.Add(time.Minute), start.Add(-time.Second)); !errors.As(err, &refusal) || refusal.Reason != token.ReasonIssuedBeforeStart {
		t.Errorf("after MarkFresh has failed: %v", err)
	}
	if err := os.Rename(moved, dir); err != nil {
		t.Fatal(err)
	}
	if err := use("during"); err != nil {
		t.Errorf("disk works again: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if j, err = Open(path, func() time.Time { return start }); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"before", "during"} {
		if err := use(id); !errors.As(err, &refusal) || refusal.Reason != token.ReasonReplayed {
			t.Errorf("%s after a restart: %v", id, err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func clone(c *contents) contents {
	d := *c
	d.used, d.presence.Present, d.presence.Departed = maps.Clone(c.used), maps.Clone(c.presence.Present), maps.Clone(c.presence.Departed)
	d.presence.Given, d.presence.Banned = maps.Clone(c.presence.Given), maps.Clone(c.presence.Banned)
	return d
}

// steps are a gate's life up to a moment, each a write.
func steps(j *Journal) []func() error {
	admit := func(player, id string) func() error {
		return func() error {
			_, err := j.Admit(Player{Player: player, Team: "red", Admission: id, Attempt: "a-" + id, Since: t0}, t0.Add(time.Minute), t0)
			return err
		}
	}
	allocate := func(match string) func() error {
		return func() error { _, err := j.Allocate("uid", "games/arena", match, t0); return err }
	}
	depart := func(player string) func() error {
		return func() error { return j.Depart(player, t0.Add(time.Second), false) }
	}
	lapse := func(player string) func() error {
		return func() error { return j.Depart(player, t0.Add(time.Second), true) }
	}
	back := func(player, id string) func() error {
		return func() error {
			return j.Return(Player{Player: player, Team: "red", Admission: id, Attempt: "a-" + id, Since: t0})
		}
	}
	want := func(b Backfill) func() error { return func() error { return j.Want(b) } }
	give := func(player string, joined time.Time) func() error {
		return func() error { return j.Give(player, joined) }
	}
	ban := func(player string) func() error {
		return func() error { return j.Ban(player, t0.Add(time.Second)) }
	}
	closed := func(closed bool) func() error { return func() error { return j.SetClosed(closed) } }
	join := func() error {
		_, err := j.Admit(Player{Player: "dan", Admission: "5", Since: t0, Joined: t0.Add(1234567)}, t0.Add(time.Minute), t0)
		return err
	}
	return []func() error{
		allocate(""), j.MarkFresh, allocate("m-1"), admit("ann", "1"), admit("bob", "2"), depart("ann"), admit("ann", "3"), depart("bob"),
		lapse("ann"), back("ann", "3"), lapse("ann"),
		want(BackfillAsked), give("bob", time.Time{}), give("bob", t0.Add(7654321)), join, depart("dan"), want(BackfillStopped),
		closed(true), admit("eve", "6"), lapse("eve"), ban("eve"), admit("bob", "7"), ban("bob"), ban("zoe"), closed(false),
		admit("fay", "8"), lapse("fay"), depart("fay"),
		allocate(""), allocate("m-2"), admit("carl", "4"), depart("carl"),
	}
}

// TestKilledAtEveryWrite cuts the file within every record: the next gate knows what
// the last whole record says, and nothing else.
func TestKilledAtEveryWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j, err := Open(path, func() time.Time { return t0 })
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	read := func() []byte {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	before, known := len(read()), clone(&j.contents)
	for i, step := range steps(j) {
		if err := step(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		data := read()
		for _, cut := range []int{before, before + 1, (before + len(data)) / 2, len(data) - 1, len(data)} {
			if cut == len(data) {
				known = clone(&j.contents)
			}
			left := filepath.Join(t.TempDir(), "journal")
			if err := os.WriteFile(left, data[:cut], 0o600); err != nil {
				t.Fatal(err)
			}
			// What a gate that was killed while it replaced the file leaves.
			if err := os.WriteFile(filepath.Join(filepath.Dir(left), ".new-1"), data[:cut/2], 0o600); err != nil {
				t.Fatal(err)
			}
			next, err := Open(left, func() time.Time { return t0 })
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(known, next.contents, cmp.AllowUnexported(contents{})); diff != "" || next.Damaged() {
				t.Fatalf("step %d, cut at byte %d of %d: damaged %v (-before +after):\n%s", i, cut, len(data), next.Damaged(), diff)
			}
			if err := next.Close(); err != nil {
				t.Fatal(err)
			}
		}
		before = len(data)
	}
}

// TestFullDiskAtEveryWrite: what cannot be written is not admitted; what has happened
// anyway counts, and is written as soon as the disk lets it.
func TestFullDiskAtEveryWrite(t *testing.T) {
	for fail := range steps(new(Journal)) {
		path := filepath.Join(t.TempDir(), "journal")
		j, err := Open(path, func() time.Time { return t0 })
		if err != nil {
			t.Fatal(err)
		}
		for i, step := range steps(j) {
			if i == fail {
				j.closeFile()
				if j.file, err = os.Open(path); err != nil { // cannot be written
					t.Fatal(err)
				}
				if err := step(); err == nil {
					t.Fatalf("step %d: no error", i)
				}
			}
			// After a failure the caller tries again.
			if err := step(); err != nil && i != fail {
				t.Fatalf("step %d after a failure of %d: %v", i, fail, err)
			}
		}
		want := clone(&j.contents)
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		next, err := Open(path, func() time.Time { return t0 })
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, next.contents, cmp.AllowUnexported(contents{})); diff != "" {
			t.Errorf("failure of step %d (-before +after):\n%s", fail, diff)
		}
		if err := next.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPresenceIsRestoredOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	now := func() time.Time { return t0 }
	j, err := Open(path, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range steps(j)[:6] { // bob is here, ann has left
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	want := j.contents.presence
	for name, test := range map[string]struct {
		uid, server, match string
		restored           bool
	}{
		"the same": {"uid", "games/arena", "m-1", true}, "another match": {"uid", "games/arena", "m-2", false}, "free": {"uid", "games/arena", "", false},
		"another server": {"uid", "games/other", "m-1", false}, "born again": {"uid-2", "games/arena", "m-1", false},
	} {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		copied := filepath.Join(t.TempDir(), "journal")
		if err := os.WriteFile(copied, data, 0o600); err != nil {
			t.Fatal(err)
		}
		next, err := Open(copied, now)
		if err != nil {
			t.Fatal(err)
		}
		if p := next.Presence(); len(p.Present)+len(p.Departed) != 0 || p.Match != "" {
			t.Errorf("%s: %+v before the server is known", name, p)
		}
		restored, err := next.Allocate(test.uid, test.server, test.match, t0.Add(time.Hour))
		if err != nil || restored != test.restored {
			t.Errorf("%s: restored %v, %v", name, restored, err)
		}
		if got := *next.Presence(); restored {
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-before +after):\n%s", name, diff)
			}
		} else if len(got.Present)+len(got.Departed) != 0 || got.Match != test.match {
			t.Errorf("%s: %+v", name, got)
		}
		if again, err := next.Allocate("uid", "games/arena", "m-1", t0); again || err != nil || len(next.Presence().Present) != 0 {
			t.Errorf("%s: restored again: %v, %v", name, again, err)
		}
		if err := next.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}

func TestDepartedStayBounded(t *testing.T) {
	p := newPresence()
	for i := range maxDeparted + 100 {
		name := strconv.Itoa(i)
		p.Enter(Player{Player: name})
		p.Leave(name, t0.Add(time.Duration(i)), false)
	}
	if len(p.Departed) != maxDeparted {
		t.Errorf("%d departed players are kept", len(p.Departed))
	}
}

func FuzzParse(f *testing.F) {
	j, err := Open("", func() time.Time { return t0 })
	if err != nil {
		f.Fatal(err)
	}
	var all []byte
	for _, step := range steps(j) {
		if err := step(); err != nil {
			f.Fatal(err)
		}
		all = nil
		for _, r := range j.contents.records() {
			all = append(all, r.line()...)
		}
		f.Add(all)
	}
	f.Add([]byte("{}\n{\"type\":\"fresh\"}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		first, _ := parse(data)
		// What was understood is the same after it has been written again.
		var b []byte
		for _, r := range first.records() {
			b = append(b, r.line()...)
		}
		second, whole := parse(b)
		if diff := cmp.Diff(first, second, cmp.AllowUnexported(contents{})); diff != "" || !whole {
			t.Errorf("whole %v (-first +second):\n%s", whole, diff)
		}
	})
}
