package decide_test

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var takeOut = flag.Bool("guards", false, "take out one guard after the other, and see the worlds break (make simulate-failover-guards)")

// guard is what keeps an invariant: places in the code, and what stands there
// without them. Where several keep it, each makes up for the others.
type guard struct {
	keeps  invariant
	places []place
}

type place struct{ file, with, without string }

var guards = []guard{
	{oneVM, []place{{"provisioning.go", "d.do(Action{Kind: DeleteVM, ID: d.st.GCPVMName})\n\t\t\td.wakeAt(d.now.Add(heldRetry))\n\t\t\treturn false", "break"}}},
	{oneForEachVM, []place{
		{"severalvms.go", "return o.Spec.SharedLoad.Number == number }) == nil", "return o.Spec.SharedLoad.Number == number }) != d.f"},
		{"admission.go", "case older != \"\":", "case older != \"\" && d.f.Spec.SharedLoad == nil:"},
	}},
	{withinBudget, []place{{"admission.go", "case vms >= d.set.MaxVMs:", "case false:"}}},
	{nobodyToTheDead, []place{{"withdrawal.go", "\td.hide(d.f.Spec.OnpremNodeName)\n", ""}}},
	{gamesGoOn, []place{{"drain.go", "case s.InUse() && !over:", "case false:"}}},
	{wellKeeps, []place{{"withdrawal.go", "if d.graceOver() {\n\t\td.deleteReady()", "{\n\t\td.deleteReady()"}}},
	{replacedFirst, []place{{"handover.go", "case d.s.Running >= h.Running:", "default:"}}},
	{taintDead, []place{{"fencing.go", "case d.s.Node.Reports:", "case false:"}}},
	{taintAfterGrace, []place{{"fencing.go", "case !d.taintGraceOver():", "case false:"}}},
	{taintReplaced, []place{{"fencing.go", "case !d.tempReady() && !d.addedReady():", "case false:"}}},
	{taintFenced, []place{{"fencing.go", "if !d.fenced() {\n\t\treturn\n\t}\n", ""}}},
	{foreignStays, []place{{"fencing.go", "case d.st.Taint == v1.TaintNone && d.s.Node.Tainted:", "case false:"}}},
	{firstLeads, []place{
		{"fencing.go", "case d.f.Spec.ParentFailover != \"\":", "case false:"},
		{"withdrawal.go", "if d.f.Spec.ParentFailover != \"\" {\n\t\treturn\n\t}\n\tfor", "for"},
	}},
	{versionFits, []place{{"versions.go", "d.wakeAt(d.now.Add(heldRetry))\n\treturn true", "return false"}}},
	{budgetsKept, []place{{"evict.go", "(over || late && empty)", "(over || late || empty)"}}},
	{drillTouchesNothing, []place{{"decide.go", "if d.f.Spec.Drill {\n\t\td.drill()", "if d.s.Node.Health == NotReady {\n\t\td.hide(d.f.Spec.OnpremNodeName)\n\t}\n\tif d.f.Spec.Drill {\n\t\td.drill()"}}},
	{persistedFirst, []place{{"provisioning.go", "if !d.s.TokenInMemory || len(d.st.VM.TokenIDs) == 0 {", "if len(d.st.VM.TokenIDs) == 0 {"}}},
	{inOrder, []place{{"drain.go", "if !d.gone() {\n\t\t\treturn\n\t\t}\n", "d.gone()\n"}}},
	{costTold, []place{{"provisioning.go", "d.spend()\n", ""}}},
	{inTable, []place{{"drain.go", "d.enter(v1.Active)\n\td.active()", "d.enter(v1.Pending)"}}},
	{rests, []place{{"placement.go", "if !d.now.Before(c.retryAt) {\n\t\t\treturn", "if true {\n\t\t\treturn"}}},
	{pure, []place{{"provisioning.go", "d.do(Action{Kind: CreateVM, ID: d.st.GCPVMName})", "if time.Now().UnixNano()/100%2 == 0 {\n\t\t\td.do(Action{Kind: CreateVM, ID: d.st.GCPVMName})\n\t\t}"}}},
	{saysWhy, []place{{"admission.go", "d.condition(v1.Admitted, metav1.ConditionFalse, reason, message)", ""}}},
	{lostIsServed, []place{{"machines.go", "b.cpu+cpu <= large.MilliCPU", "true"}}},
	{nothingLeft, []place{{"withdrawal.go", "d.revealing = d.show(on)", "_ = on"}}},
}

// TestGuards sees that each invariant has a guard that is there, and with -guards that
// worlds without it break that invariant: what no mistake can break proves nothing.
func TestGuards(t *testing.T) {
	guarded := map[invariant]bool{}
	for _, g := range guards {
		guarded[g.keeps] = true
		t.Run(string(g.keeps), func(t *testing.T) { g.test(t) })
	}
	for _, i := range invariants() {
		if !guarded[i] {
			t.Errorf("no guard is known of: %s", i)
		}
	}
}

func (g guard) test(t *testing.T) {
	dir, overlay := t.TempDir(), map[string]string{}
	for _, p := range g.places {
		source := string(must(os.ReadFile(p.file))(t))
		if n := strings.Count(source, p.with); n != 1 {
			t.Fatalf("%s has the guard %d times: %s", p.file, n, p.with)
		}
		without := filepath.Join(dir, p.file)
		if err := os.WriteFile(without, []byte(strings.Replace(source, p.with, p.without, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay[must(filepath.Abs(p.file))(t)] = without
	}
	if !*takeOut {
		return
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, must(json.Marshal(map[string]any{"Replace": overlay}))(t), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "go", "test", "-vet=off", "-overlay", file, "-run", "^TestWorlds$", "-count=1", "-timeout=2h", ".",
		"-rapid.checks=4000", "-rapid.seed=1", "-rapid.nofailfile", "-rapid.shrinktime=1ms").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "BREACH "+string(g.keeps)) {
		t.Fatalf("without %q it is not broken: %v\n%s", g.places, err, out[max(0, len(out)-2000):])
	}
	t.Logf("without %q: %s", g.places, regexp.MustCompile(`after \d+ tests`).Find(out))
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
