package decide_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// invariant is a promise that holds at each instant of each world, whatever
// happens in it. docs/failover-reference.md lists them.
type invariant string

const (
	oneVM               invariant = "a failover has one VM at most"
	oneForEachVM        invariant = "one failover for each VM that a node needs"
	withinBudget        invariant = "VMs stay within their number and cost"
	nobodyToTheDead     invariant = "nobody is sent to a node that is not Ready"
	gamesGoOn           invariant = "no game is ended before its time"
	wellKeeps           invariant = "a node that is Ready keeps its servers"
	replacedFirst       invariant = "servers leave as they are replaced"
	taintDead           invariant = "only a silent node is tainted"
	taintAfterGrace     invariant = "no taint within the grace"
	taintReplaced       invariant = "no taint before a game can start elsewhere"
	taintFenced         invariant = "no taint before the fence"
	foreignStays        invariant = "what is somebody else's stays"
	firstLeads          invariant = "one failover acts on the node"
	versionFits         invariant = "a VM's kubelet fits the API server"
	budgetsKept         invariant = "other pods leave within their budgets"
	drillTouchesNothing invariant = "a drill does nothing to its node"
	persistedFirst      invariant = "nothing is made that is not persisted"
	inOrder             invariant = "VM, Node, tokens, finalizer go in this order"
	costTold            invariant = "all that was spent is told"
	inTable             invariant = "phases follow as they are drawn"
	rests               invariant = "decisions come to rest"
	pure                invariant = "a decision depends on its state alone"
	saysWhy             invariant = "who waits says why"
	lostIsServed        invariant = "what was lost has room on VMs"
	nothingLeft         invariant = "nothing is left once all is well"
)

// invariants are all of them.
func invariants() []invariant {
	return []invariant{
		oneVM, oneForEachVM, withinBudget, nobodyToTheDead, gamesGoOn, wellKeeps, replacedFirst, taintDead, taintAfterGrace, taintReplaced, taintFenced,
		foreignStays, firstLeads, versionFits, budgetsKept, drillTouchesNothing, persistedFirst, inOrder, costTold, inTable, rests, pure, saysWhy, lostIsServed, nothingLeft,
	}
}

// must counts a look at an invariant, notes if it is broken, and reports whether it
// holds.
func (w *harness) must(i invariant, holds bool, format string, args ...any) bool {
	w.checked[i]++
	if !holds {
		s := fmt.Sprintf("%s: %s", i, fmt.Sprintf(format, args...))
		w.breach = append(w.breach, s)
		w.say("BREACH %s", s)
	}
	return holds
}

// tally is what has happened in the worlds that were played.
type tally struct {
	worlds  int
	checked map[invariant]int
	events  map[string]int
	phases  map[string]int
	ends    map[string]int // of failovers and drills
	vms     int
}

func newTally() *tally {
	return &tally{checked: map[invariant]int{}, events: map[string]int{}, phases: map[string]int{}, ends: map[string]int{}}
}

// add counts a world that has ended.
func (s *tally) add(w *harness) {
	s.worlds++
	s.vms += w.vmsMade
	for i, n := range w.checked {
		s.checked[i] += n
	}
	for _, p := range w.phases {
		s.phases[p.To]++
	}
	for _, f := range w.failovers {
		for _, c := range f.Status.Conditions {
			s.ends[c.Type+" "+c.Reason]++
		}
	}
}

func (s *tally) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d worlds, %d VMs\n", s.worlds, s.vms)
	table := func(title string, counts map[string]int) {
		fmt.Fprintf(&b, "\n%s\n", title)
		for _, k := range slices.Sorted(maps.Keys(counts)) {
			fmt.Fprintf(&b, "%10d  %s\n", counts[k], k)
		}
	}
	table("what happened, how often:", s.events)
	table("phases that failovers and drills entered:", s.phases)
	table("conditions that they ended with:", s.ends)
	fmt.Fprintf(&b, "\nlooks at each invariant, none of which was broken:\n")
	for _, i := range invariants() {
		fmt.Fprintf(&b, "%10d  %s\n", s.checked[i], i)
	}
	return b.String()
}

// Operators read what is promised.
func TestInvariantsAreDocumented(t *testing.T) {
	data, err := os.ReadFile("../../../docs/failover-reference.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(data), "## What is promised")
	text, _, _ = strings.Cut(text, "\n## ")
	var told []string
	for line := range strings.Lines(text) {
		if cells := strings.Split(line, " | "); len(cells) > 1 && strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "| promise ") {
			told = append(told, strings.TrimPrefix(cells[0], "| "))
		}
	}
	var all []string
	for _, i := range invariants() {
		all = append(all, string(i))
	}
	if diff := gocmp.Diff(all, told); diff != "" {
		t.Errorf("invariants of the worlds (-) and in the docs (+): %s", diff)
	}
}
