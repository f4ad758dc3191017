package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"torikumi/matchfunction/internal/wasm/wasmtest"
	"torikumi/pkg/service"
)

const moduleRules = `{"name": "duel", "ruleLanguageVersion": "1.0", "playerAttributes": [{"name": "skill", "type": "number"}],
	"teams": [{"name": "red", "minPlayers": 1, "maxPlayers": 2}, {"name": "blue", "minPlayers": 1, "maxPlayers": 2}],
	"rules": [{"name": "Own", "type": "custom", "rule": "own.wasm"%s}]}`

// moduleFiles writes a rule set that names a module, the module beside it unless
// it is nil, and tickets.
func moduleFiles(t *testing.T, module []byte, parameters string) (rules, tickets string) {
	t.Helper()
	_, tickets = explainFiles(t, 1000, 1000, 1000, 1000)
	rules = filepath.Join(filepath.Dir(tickets), "rules.json")
	files := map[string][]byte{rules: fmt.Appendf(nil, moduleRules, parameters)}
	if module != nil {
		files[filepath.Join(filepath.Dir(rules), "own.wasm")] = module
	}
	for file, text := range files {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return rules, tickets
}

func TestLintOfModules(t *testing.T) {
	for name, c := range map[string]struct {
		module     []byte
		parameters string
		want       string
	}{
		"right":      {wasmtest.Allow(), "", ""},
		"none":       {nil, "", `:3:54: rules[0].rule (rule "Own"): own.wasm cannot be read: no such file or directory`},
		"text":       {[]byte("text"), "", `:3:54: rules[0].rule (rule "Own"): own.wasm is no WebAssembly module: `},
		"no judge":   {wasmtest.Module{Functions: []wasmtest.Function{wasmtest.Alloc}}.Bytes(), "", `:3:54: rules[0].rule (rule "Own"): own.wasm exports no function rule_judge`},
		"parameters": {wasmtest.Allow(), `, "parameters": [1]`, `:3:80: rules[0].parameters (rule "Own"): the module takes none: it exports no rule_init`},
	} {
		t.Run(name, func(t *testing.T) {
			rules, _ := moduleFiles(t, c.module, c.parameters)
			code, out, errs := call("lint", "--strict", rules)
			switch {
			case c.want == "" && (code != 0 || out != "1 file, 0 errors, 0 warnings\n" || errs != ""):
				t.Errorf("exit %d: %s%s", code, out, errs)
			case c.want != "" && (code != service.ExitFailed || !strings.HasPrefix(out, rules+c.want)):
				t.Errorf("exit %d: %s, want %s%s", code, out, rules, c.want)
			}
		})
	}
}

func TestExplainWithModule(t *testing.T) {
	rules, tickets := moduleFiles(t, wasmtest.Refuse("they are at war"), "")
	args := []string{"explain", "--rules=" + rules, "--tickets=" + tickets, "--ticket=t0"}
	code, out, errs := call(args...)
	if code != 0 || errs != "" || !strings.Contains(out, "Together with them it breaks the rule \"Own\".\n  It says: they are at war\n") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	code, out, _ = call(append(args, "--json")...)
	var x explainedJSON
	if err := json.Unmarshal([]byte(out), &x); code != 0 || err != nil || len(x.Breaches) != 1 || x.Breaches[0].Said != "they are at war" {
		t.Errorf("exit %d, %v: %s", code, err, out)
	}
	// What the module fails with is said as well.
	rules, tickets = moduleFiles(t, wasmtest.Judge("", wasmtest.Unreachable), "")
	code, out, _ = call("explain", "--rules="+rules, "--tickets="+tickets, "--ticket=t0")
	if code != 0 || !strings.Contains(out, "  It says: module own.wasm (") || !strings.Contains(out, "rule_judge: wasm error: unreachable") {
		t.Errorf("exit %d: %s", code, out)
	}
}

// The module of the first allows everybody, that of the second matches of two.
func TestSimulateWithModule(t *testing.T) {
	for want, module := range map[int][]byte{1: wasmtest.Allow(), 2: wasmtest.Judge("too many", wasmtest.AtMost(2, "too many"))} {
		rules, tickets := moduleFiles(t, module, "")
		code, out, errs := call("simulate", "--rules="+rules, "--tickets="+tickets, "--json")
		var x struct {
			Matches []json.RawMessage `json:"matches"`
		}
		if err := json.Unmarshal([]byte(out), &x); code != 0 || errs != "" || err != nil || len(x.Matches) != want {
			t.Errorf("exit %d, %v: %d matches, want %d: %s%s", code, err, len(x.Matches), want, out, errs)
		}
	}
	// One that says yes and no in turns is found out.
	rules, tickets := moduleFiles(t, wasmtest.Judge("no", wasmtest.Turns("no")), "")
	if code, out, errs := call("simulate", "--rules="+rules, "--tickets="+tickets); code != service.ExitFailed || !strings.Contains(errs, "Own") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}
