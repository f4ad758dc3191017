package director

import (
	"strings"
	"testing"

	"torikumi/pkg/queues"
)

// A queue in a namespace that is not followed is refused only where they are followed.
func TestNamespacesStay(t *testing.T) {
	set := func(namespace string) *queues.Set {
		s, err := queues.Parse([]byte("queues: [{name: a, teams: [{name: a, players: 2}], skill: {attribute: s}}, {name: b, teams: [{name: a, players: 2}], skill: {attribute: s}, allocation: {namespace: " + namespace + "}}]"))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for gameServers, refuses := range map[string]bool{inKubernetes: true, "127.0.0.1:8443": false, "": false} {
		a := new(acceptance)
		if err := a.check(set("other")); err != nil {
			t.Errorf("at the start: %v", err)
		}
		a.only(&Config{Namespace: "games", GameServers: gameServers}, set("eu"))
		for _, ns := range []string{"eu", "games"} {
			if err := a.check(set(ns)); err != nil {
				t.Errorf("%q: %s: %v", gameServers, ns, err)
			}
		}
		if err := a.check(set("other")); (err != nil) != refuses || refuses && !strings.Contains(err.Error(), `queues[1].allocation.namespace: must be one whose game servers are followed since the start, which are eu, games; another takes a restart, got "other"`) {
			t.Errorf("%q: %v", gameServers, err)
		}
	}
}
