package wasm

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"torikumi/matchfunction/internal/expression"
	"torikumi/matchfunction/internal/wasm/wasmtest"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/requirements"
	"torikumi/pkg/ruleset"
)

const examples = "../../../docs/examples/wasm"

// inGo builds the example in Go.
func inGo(t testing.TB) []byte { t.Helper(); return buildGo(t, filepath.Join(examples, "go")) }

func buildGo(t testing.TB, dir string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "rematch.wasm")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-buildmode=c-shared", "-o", out, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOWORK=off", "GOFLAGS=-mod=readonly")
	return built(t, cmd, out)
}

// inC builds the example in C.
func inC(t testing.TB) []byte {
	t.Helper()
	if err := requirements.WasmInC().Lacking(); err != nil {
		lacks(t, err.Error())
	}
	out := filepath.Join(t.TempDir(), "rematch.wasm")
	cmd := exec.CommandContext(t.Context(), "clang", "--target=wasm32", "-O2", "-nostdlib", "-Wall", "-Werror", "-Wl,--no-entry", "-o", out, "rematch.c")
	cmd.Dir = filepath.Join(examples, "c")
	return built(t, cmd, out)
}

func built(t testing.TB, cmd *exec.Cmd, out string) []byte {
	t.Helper()
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, said)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// native is the same rule in Go, as a match function has it built in.
type native struct{ most int }

func (r native) Allows(m *rule.Match) error {
	met := 0
	each(m, func(p *rule.Player) {
		recent, _ := p.List("recent")
		each(m, func(q *rule.Player) {
			if slices.Contains(recent, q.ID) {
				met++
			}
		})
	})
	if met > r.most {
		return errors.New("too many have met lately")
	}
	return nil
}

func each(m *rule.Match, do func(*rule.Player)) {
	for i := range m.Teams {
		for _, member := range m.Teams[i].Members {
			do(member.Player)
		}
	}
}

// lately is a match of two teams whose players have met five others each, and
// those of pairs who met each other.
func lately(players, pairs int) *rule.Match {
	m := match(players)
	for i := range players {
		recent := ruleset.Value{Type: ruleset.StringList}
		for j := range 5 {
			recent.List = append(recent.List, fmt.Sprintf("elsewhere-%d-%d", i, j))
		}
		if i < pairs {
			recent.List[3] = fmt.Sprintf("p%d", (i+1)%players)
		}
		p := m.Teams[0].Members[i].Player
		p.Attributes = []rule.Attribute{{Name: "skill", Value: ruleset.Value{Type: ruleset.Number, Number: 1500}}, {Name: "recent", Value: recent}}
		p.Latencies = []rule.Latency{{Region: "eu", Milliseconds: 30}, {Region: "us", Milliseconds: 110}}
	}
	half := players / 2
	m.Teams = []rule.Team{{Name: "red", Members: m.Teams[0].Members[:half]}, {Name: "blue", Members: m.Teams[0].Members[half:]}}
	return m
}

func testRematch(t *testing.T, text []byte) {
	t.Helper()
	module := compile(t, text)
	for _, parameters := range []string{"", "0", "2", "12"} {
		most := 0
		if parameters != "" {
			if _, err := fmt.Sscan(parameters, &most); err != nil {
				t.Fatal(err)
			}
		}
		r, err := module.Factory(json.RawMessage(parameters))
		if err != nil {
			t.Fatal(err)
		}
		for _, players := range []int{2, 10, 200} {
			for pairs := range min(players, 16) {
				m := lately(players, pairs)
				if got, want := fmt.Sprint(r.Allows(m)), fmt.Sprint(native{most}.Allows(m)); got != want {
					t.Errorf("%d players, %d met, parameters %q: got %s, want %s", players, pairs, parameters, got, want)
				}
			}
		}
	}
	if _, err := module.Factory(json.RawMessage(`"x"`)); err == nil || !strings.HasPrefix(err.Error(), "must be a whole number") {
		t.Errorf("wrong parameters: %v", err)
	}
}

func TestExampleInGo(t *testing.T) { testRematch(t, inGo(t)) }

func TestExampleInC(t *testing.T) { testRematch(t, inC(t)) }

// BenchmarkRule has the same rule in each of the ways to write one.
func BenchmarkRule(b *testing.B) {
	expressed := func(b *testing.B) func(*rule.Match) (bool, error) {
		d := &ruleset.Definition{
			Attributes: []ruleset.Attribute{{Name: "skill", Type: ruleset.Number}, {Name: "recent", Type: ruleset.StringList}},
			Teams:      []ruleset.Team{{Name: "red", MaxPlayers: 20, Quantity: 1}, {Name: "blue", MaxPlayers: 20, Quantity: 1}},
		}
		holds, err := expression.Compile(0, d, &ruleset.Rule{Name: "r", Kind: ruleset.Expression, Expression: "players.all(p, players.all(q, !(q.id in p.attributes.recent)))"})
		if err != nil {
			b.Fatal(err)
		}
		return holds
	}
	allows := func(b *testing.B, r rule.Rule) func(*rule.Match) (bool, error) {
		return func(m *rule.Match) (bool, error) { err := r.Allows(m); return err == nil, err }
	}
	for _, way := range []struct {
		name string
		make func(*testing.B) func(*rule.Match) (bool, error)
	}{
		{"Go", func(b *testing.B) func(*rule.Match) (bool, error) { return allows(b, native{}) }},
		{"CEL", expressed},
		{"wasm-C", func(b *testing.B) func(*rule.Match) (bool, error) { return allows(b, ruleOf(b, inC(b), nil)) }},
		{"wasm-Go", func(b *testing.B) func(*rule.Match) (bool, error) { return allows(b, ruleOf(b, inGo(b), nil)) }},
		{"wasm-empty", func(b *testing.B) func(*rule.Match) (bool, error) { return allows(b, ruleOf(b, allowing, nil)) }},
	} {
		for _, players := range []int{10, 40} {
			b.Run(fmt.Sprintf("%s/%d", way.name, players), func(b *testing.B) {
				holds, m := way.make(b), lately(players, 0)
				b.ReportAllocs()
				for b.Loop() {
					if ok, err := holds(m); !ok || err != nil {
						b.Fatal(ok, err)
					}
				}
			})
		}
	}
}

// BenchmarkStart makes an instance, as after one that failed; BenchmarkLoad reads
// a module, as when its file has changed.
func BenchmarkStart(b *testing.B) {
	for name, build := range modules {
		b.Run(name, func(b *testing.B) {
			m := compile(b, build(b))
			for b.Loop() {
				in, err := m.start("")
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(in.size())/(1<<20), "MiB")
				in.close()
			}
		})
	}
}

func BenchmarkLoad(b *testing.B) {
	for name, build := range modules {
		b.Run(name, func(b *testing.B) {
			text := build(b)
			b.ReportAllocs()
			for b.Loop() {
				compile(b, text)
			}
		})
	}
}

var modules = map[string]func(testing.TB) []byte{"C": inC, "Go": inGo}

var allowing = wasmtest.Allow()
