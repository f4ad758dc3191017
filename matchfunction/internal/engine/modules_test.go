package engine_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"torikumi/matchfunction/internal/engine"
	searching "torikumi/matchfunction/internal/search"
	"torikumi/matchfunction/rule"
	"torikumi/proto/openmatch"
)

// judges allows matches or doesn't.
type judges bool

func (j judges) Allows(*rule.Match) error {
	if j {
		return nil
	}
	return errors.New("no")
}

// Rule sets that name a module are readied again when modules have changed; where
// that can't be, as the parameters don't fit, they stay as they are.
func TestModulesThatChange(t *testing.T) {
	const text = `{"name": "duel", "ruleLanguageVersion": "1.0", "teams": [{"name": "duel", "minPlayers": 2, "maxPlayers": 2}],
	  "rules": [{"name": "own", "type": "custom", "rule": %q, "parameters": 1}]}`
	version, made := uint64(0), 0
	var allows bool
	var wrong error
	var heard []string
	c := &engine.Compiler{
		Options: searching.Options{
			Custom: rule.Registry{"go": func(json.RawMessage) (rule.Rule, error) { made++; return judges(true), nil }},
			Module: func(name string) (rule.Factory, error) {
				if name != "own.wasm" {
					return nil, fmt.Errorf("no %s", name)
				}
				return func(json.RawMessage) (rule.Rule, error) { made++; return judges(allows), wrong }, nil
			},
		},
		ModuleVersion: func() uint64 { return version },
		NotReloaded:   func(queue string, err error) { heard = append(heard, queue+": "+err.Error()) },
	}
	pool := engine.Pool{Tickets: admit([]*openmatch.Ticket{ticket("a", time.Second, players("x")), ticket("b", time.Second, players("y"))}, now, ignore)}
	search := func(name string) int {
		t.Helper()
		p, err := c.Compile(profile(t, ruleSet(fmt.Sprintf(text, name))))
		if err != nil {
			t.Fatal(err)
		}
		return len(slices.Collect(p.Engine.Search(t.Context(), pool, now, ignore)))
	}
	want := func(step, name string, matches, madeSoFar int) {
		t.Helper()
		if got := search(name); got != matches || made != madeSoFar {
			t.Errorf("%s: %d matches, want %d; %d rules made, want %d", step, got, matches, made, madeSoFar)
		}
	}
	if _, err := c.Compile(profile(t, ruleSet(fmt.Sprintf(text, "other.wasm")))); err == nil {
		t.Error("a module that is not there is found")
	}
	want("first", "own.wasm", 0, 1)
	allows = true
	want("the same version", "own.wasm", 0, 1)
	version++
	want("another version", "own.wasm", 1, 2)
	version, wrong = version+1, errors.New("must be 2")
	want("parameters that don't fit", "own.wasm", 1, 3)
	want("and again", "own.wasm", 1, 3) // it is tried once
	if want := []string{`session: rules[0] (rule "own"): parameters: must be 2`}; !slices.Equal(heard, want) {
		t.Errorf("heard %q, want %q", heard, want)
	}
	version, wrong, allows = version+1, nil, false
	want("parameters that fit", "own.wasm", 0, 4)
	want("a rule in Go", "go", 1, 5)
	version++
	want("a rule in Go, and modules change", "go", 1, 5)
}

// A module that takes long to refuse its parameters is not asked again by each profile, and
// by one at a time, until modules have changed.
func TestRefusedForAWhile(t *testing.T) {
	const text = `{"name": "duel", "ruleLanguageVersion": "1.0", "teams": [{"name": "duel", "minPlayers": 2, "maxPlayers": 2}],
	  "rules": [{"name": "own", "type": "custom", "rule": "own.wasm"}]}`
	synctest.Test(t, func(t *testing.T) {
		var version, asked atomic.Uint64
		c := &engine.Compiler{
			Options: searching.Options{Module: func(string) (rule.Factory, error) {
				return func(json.RawMessage) (rule.Rule, error) {
					asked.Add(1)
					time.Sleep(5 * time.Second)
					return nil, errors.New("takes too long")
				}, nil
			}},
			ModuleVersion: version.Load,
		}
		compile := func(want uint64) {
			t.Helper()
			var all sync.WaitGroup
			for range 5 {
				all.Go(func() {
					if _, err := c.Compile(profile(t, ruleSet(text))); err == nil || !strings.Contains(err.Error(), "takes too long") {
						t.Errorf("got %v", err)
					}
				})
			}
			all.Wait()
			if n := asked.Load(); n != want {
				t.Errorf("asked %d times, want %d", n, want)
			}
		}
		compile(1)
		compile(1)
		version.Add(1)
		compile(2)
		time.Sleep(time.Minute)
		compile(3)
	})
}
