package queues_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"torikumi/pkg/queues"
)

const (
	// inForce is how long a change may take, and half is less than the time between
	// two readings.
	inForce = 2 * time.Second
	half    = 200 * time.Millisecond
)

// follower is a Live that runs, in a bubble of testing/synctest, and its folder.
type follower struct {
	*testing.T
	*queues.Live
	dir      string
	log      bytes.Buffer // read after synctest.Wait
	registry *prometheus.Registry
}

// follow starts a Live on the files, and runs f.
func follow(t *testing.T, files map[string]string, accept func(*queues.Set) error, f func(*follower)) {
	t.Helper()
	l := &follower{dir: t.TempDir(), registry: prometheus.NewRegistry()}
	for name, text := range files {
		write(t, filepath.Join(l.dir, name), text)
	}
	synctest.Test(t, func(t *testing.T) {
		l.T = t
		var err error
		l.Live, err = queues.NewLive(queues.LiveOptions{
			Path: l.path(), Accept: accept, Registry: l.registry, Logger: slog.New(slog.NewTextHandler(&l.log, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Live.Run(ctx) }()
		f(l)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (l *follower) path() string { return filepath.Join(l.dir, "queues.yaml") }

func (l *follower) write(name, text string) {
	l.Helper()
	write(l.T, filepath.Join(l.dir, name), text)
}

// wait lets time pass, and all that it brings.
func (l *follower) wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (l *follower) names(want ...string) {
	l.Helper()
	if got := l.Current().Names(); !slices.Equal(got, want) {
		l.Errorf("in force are %v, want %v", got, want)
	}
}

// metric returns the value of a metric without labels.
func (l *follower) metric(name string) float64 {
	l.Helper()
	families, err := l.registry.Gather()
	if err != nil {
		l.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	l.Fatalf("no metric %s", name)
	return 0
}

func (l *follower) logged(want ...string) {
	l.Helper()
	for _, text := range want {
		if !strings.Contains(l.log.String(), text) {
			l.Errorf("the log lacks %q:\n%s", text, l.log.String())
		}
	}
}

func one(name string) string {
	return fmt.Sprintf("queues: [{name: %s, teams: [{name: a, players: 2}], skill: {attribute: s}}]", name)
}

func ruled(name string, players int) string {
	return fmt.Sprintf(`{"name": %q, "ruleLanguageVersion": "1.0", "teams": [{"name": "t", "minPlayers": %d, "maxPlayers": %d}]}`, name, players, players)
}

func TestLiveFollowsTheFile(t *testing.T) {
	follow(t, map[string]string{"queues.yaml": one("a")}, nil, func(l *follower) {
		changed, since := l.Changed(), l.metric("torikumi_queues_last_reload_success_timestamp_seconds")
		l.wait(time.Minute)
		select {
		case <-changed:
			l.Error("nothing has changed, and it was told")
		default:
		}
		l.write("queues.yaml", one("b"))
		l.wait(inForce)
		l.names("b")
		select {
		case <-changed:
		default:
			l.Error("the change was not told")
		}
		if l.metric("torikumi_queues_last_reload_successful") != 1 || l.metric("torikumi_queues_last_reload_success_timestamp_seconds") < since+60 {
			l.Error("the metrics do not say so")
		}
		l.logged(`msg="queues reloaded"`, "queues=[b]", "removed=[a]")
	})
}

// A mistake keeps what was in force, and is said once; the next good file counts,
// and so does the first one again.
func TestLiveKeepsWhatWasRight(t *testing.T) {
	files := map[string]string{"queues.yaml": "queues: [{name: a, rule_set: a.json}]", "a.json": ruled("a", 2)}
	broken := `{"ruleLanguageVersion": "1.0", "teams": [{"name": "t", "minPlayers": 3, "maxPlayers": 2}]}`
	for name, c := range map[string]struct{ file, text, want string }{
		"field":      {"queues.yaml", "queues: [{name: A, rule_set: a.json}]", `queues[0].name: must be`},
		"rule set":   {"a.json", broken, `queues[0].rule_set: a.json: line 1, column `},
		"no queues":  {"queues.yaml", "", `queues: at least one is required`},
		"no YAML":    {"queues.yaml", "queues: [", "yaml"},
		"other file": {"queues.yaml", "queues: [{name: a, rule_set: b.json}]", "b.json cannot be read: no such file"},
		"too large":  {"a.json", strings.Repeat(" ", 5<<20), "must have at most 4194304 bytes"},
		"refused":    {"queues.yaml", one("forbidden"), "not this one"},
	} {
		t.Run(name, func(t *testing.T) {
			accept := func(s *queues.Set) error {
				if _, ok := s.Get("forbidden"); ok {
					return errors.New("not this one")
				}
				return nil
			}
			follow(t, files, accept, func(l *follower) {
				l.write(c.file, c.text)
				l.wait(time.Minute)
				l.names("a")
				if l.Current().Queues[0].MaxParty() != 2 {
					l.Error("the rule set is another one")
				}
				if l.metric("torikumi_queues_last_reload_successful") != 0 {
					l.Error("the metric says nothing")
				}
				l.logged("queues not reloaded", l.path(), c.want)
				if n := strings.Count(l.log.String(), "\n"); n != 1 {
					l.Errorf("%d lines are logged:\n%s", n, l.log.String())
				}
				l.write(c.file, files[c.file])
				l.wait(inForce)
				if l.metric("torikumi_queues_last_reload_successful") != 1 {
					l.Error("the metric does not say that it is right again")
				}
				l.write("queues.yaml", one("b"))
				l.wait(inForce)
				l.names("b")
			})
		})
	}
}

// Half a file can be a right one: it is not taken while it grows.
func TestLiveWaitsForTheWholeFile(t *testing.T) {
	follow(t, map[string]string{"queues.yaml": one("a")}, nil, func(l *follower) {
		whole := "queues:\n"
		for i := range 20 {
			whole += fmt.Sprintf("- {name: q%02d, teams: [{name: a, players: 2}], skill: {attribute: s}}\n", i)
			l.write("queues.yaml", whole)
			l.wait(half)
			l.names("a")
		}
		l.wait(inForce)
		if n := len(l.Current().Queues); n != 20 {
			l.Errorf("%d queues", n)
		}
	})
}

// A file that is gone for a moment, or for long, changes nothing.
func TestLiveWithoutItsFiles(t *testing.T) {
	files := map[string]string{"queues.yaml": "queues: [{name: a, rule_set: a.json}]", "a.json": ruled("a", 2)}
	for name := range files {
		t.Run(name, func(t *testing.T) {
			follow(t, files, nil, func(l *follower) {
				if err := os.Remove(filepath.Join(l.dir, name)); err != nil {
					l.Fatal(err)
				}
				l.wait(time.Minute)
				l.names("a")
				l.logged("queues not reloaded", "no such file or directory")
				l.write("queues.yaml", "queues: [{name: b, rule_set: a.json}]")
				l.write("a.json", ruled("b", 3))
				l.wait(inForce)
				l.names("b")
			})
		})
	}
	t.Run("folder", func(t *testing.T) {
		follow(t, files, nil, func(l *follower) {
			away := l.dir + "-away"
			if err := os.Rename(l.dir, away); err != nil {
				l.Fatal(err)
			}
			l.wait(time.Minute)
			l.names("a")
			write(l.T, filepath.Join(away, "queues.yaml"), "queues: [{name: b, rule_set: a.json}]")
			if err := os.Rename(away, l.dir); err != nil {
				l.Fatal(err)
			}
			l.wait(inForce)
			l.names("b")
		})
	})
}

// Kubernetes exchanges all files of a ConfigMap by renaming one symbolic link. The
// exchanges hit readings at any point: what is in force is one or the other, never
// the queues of one with the rule set of the other.
func TestLiveSeesAConfigMapWhole(t *testing.T) {
	dir := t.TempDir()
	// Versions differ in the name of the queue and in the size of its team.
	versions := map[string]int{"two": 2, "three": 3, "four": 4}
	for name, players := range versions {
		version := filepath.Join(dir, "..v-"+name)
		if err := os.Mkdir(version, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(version, "queues.yaml"), fmt.Sprintf("queues: [{name: %s, rule_set: rules.json}]", name))
		write(t, filepath.Join(version, "rules.json"), ruled(name, players))
	}
	show := func(name string) {
		link := filepath.Join(dir, "..data_tmp")
		if err := errors.Join(os.Symlink("..v-"+name, link), os.Rename(link, filepath.Join(dir, "..data"))); err != nil {
			t.Error(err)
		}
	}
	show("two")
	for _, file := range []string{"queues.yaml", "rules.json"} {
		if err := os.Symlink(filepath.Join("..data", file), filepath.Join(dir, file)); err != nil {
			t.Skip(err)
		}
	}
	// Outside the bubble, where a reading takes time. A token is taken when the exchange
	// before has been made: three of them within two readings, which no ConfigMap does
	// in half a second, can show the same mixture twice.
	tokens, exchanges := make(chan struct{}), make(chan int)
	go func() {
		names, n := []string{"three", "two"}, 0
		for range tokens {
			for began, wait := time.Now(), time.Duration(rand.IntN(int(200*time.Microsecond))); time.Since(began) < wait; {
			}
			show(names[n%2])
			n++
		}
		exchanges <- n
	}()
	synctest.Test(t, func(t *testing.T) {
		l, err := queues.NewLive(queues.LiveOptions{
			Path: filepath.Join(dir, "queues.yaml"), Registry: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		var changes int
		changed := l.Changed()
		for i := range 1500 {
			if i%5 == 0 {
				tokens <- struct{}{}
			}
			time.Sleep(500 * time.Millisecond)
			select {
			case <-changed:
				changes, changed = changes+1, l.Changed()
			default:
			}
			if q := l.Current().Queues[0]; q.MaxParty() != versions[q.Name] {
				t.Fatalf("queue %s has teams of %d", q.Name, q.MaxParty())
			}
		}
		close(tokens)
		if n := <-exchanges; n != 300 || changes < n/2 {
			t.Errorf("the files were exchanged %d times, and %d were in force", n, changes)
		}
		show("four")
		time.Sleep(inForce)
		synctest.Wait()
		if q := l.Current().Queues[0]; q.Name != "four" {
			t.Errorf("in the end %s is in force", q.Name)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestLiveWithoutAFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		l, err := queues.NewLive(queues.LiveOptions{Registry: registry, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		if !slices.Equal(l.Current().Names(), queues.Default().Names()) {
			t.Error(l.Current().Names())
		}
		if families, err := registry.Gather(); err != nil || len(families) != 3 {
			t.Error(families, err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestLiveStartsWithRightFilesOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queues.yaml")
	for _, accept := range []func(*queues.Set) error{nil, func(*queues.Set) error { return errors.New("not this one") }} {
		_, err := queues.NewLive(queues.LiveOptions{Path: path, Accept: accept, Registry: prometheus.NewRegistry()})
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Error(err)
		}
		write(t, path, one("a"))
	}
}
