package manifests_test

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"torikumi/test/manifests"
)

var update = flag.Bool("update", false, "write testdata/golden anew")

const (
	root         = "../../manifests"
	combinations = "testdata/combinations"
	golden       = "testdata/golden"
)

// all renders, once, everything that somebody may apply: what is in manifests/, and
// combinations of its components.
var all = sync.OnceValues(func() ([]*manifests.Set, error) {
	var sets []*manifests.Set
	for _, in := range []string{root, combinations} {
		dirs, err := manifests.Find(in, "Kustomization")
		if err != nil {
			return nil, err
		}
		for _, dir := range dirs {
			name := dir
			if in == combinations {
				name = "combinations/" + dir
			}
			set, err := manifests.Render(name, filepath.Join(in, dir))
			if err != nil {
				return nil, err
			}
			sets = append(sets, set)
		}
	}
	return sets, nil
})

func sets(t *testing.T, prefixes ...string) []*manifests.Set {
	t.Helper()
	list, err := all()
	if err != nil {
		t.Fatal(err)
	}
	if len(prefixes) == 0 {
		return list
	}
	var chosen []*manifests.Set
	for _, s := range list {
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(s.Name, p) }) {
			chosen = append(chosen, s)
		}
	}
	if len(chosen) == 0 {
		t.Fatalf("nothing begins with %q", prefixes)
	}
	return chosen
}

func get(t *testing.T, name string) *manifests.Set {
	t.Helper()
	for _, s := range sets(t, name) {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no %q", name)
	return nil
}

// Whoever changes a base sees what becomes of each overlay.
func TestGolden(t *testing.T) {
	for _, s := range sets(t, "overlays/", "games/", "combinations/", "examples/") {
		t.Run(s.Name, func(t *testing.T) {
			file := filepath.Join(golden, strings.ReplaceAll(s.Name, "/", "-")+".yaml")
			text := withoutCRDs(string(s.YAML))
			if *update {
				if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if string(want) != text {
				t.Errorf("%s is stale: look at the difference after go test ./test/manifests -update", file)
			}
		})
	}
}

// withoutCRDs leaves away what is generated and checked elsewhere.
func withoutCRDs(text string) string {
	return strings.Join(slices.DeleteFunc(strings.SplitAfter(text, "\n---\n"), func(o string) bool {
		return strings.Contains("\n"+o, "\nkind: CustomResourceDefinition\n")
	}), "")
}

// Each component is in something that the tests render.
func TestComponentsAreUsed(t *testing.T) {
	components, err := manifests.Find(root, "Component")
	if err != nil || len(components) == 0 {
		t.Fatal(components, err)
	}
	var texts strings.Builder
	for _, in := range []string{root, combinations} {
		dirs, err := manifests.Find(in, "Kustomization")
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range dirs {
			text, err := os.ReadFile(filepath.Join(in, dir, "kustomization.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			texts.Write(text)
		}
	}
	for _, c := range components {
		if !strings.Contains(texts.String(), "/"+c+"\n") {
			t.Errorf("nothing renders %s", c)
		}
	}
}

func TestPolicies(t *testing.T) {
	for _, s := range sets(t) {
		wrong, err := s.Check()
		if err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
		for _, w := range wrong {
			t.Errorf("%s: %s", s.Name, w)
		}
	}
}

// What is applied as a whole names nothing that is not there.
func TestReferences(t *testing.T) {
	for _, s := range sets(t, "overlays/", "combinations/") {
		wrong, err := s.References()
		if err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
		for _, w := range wrong {
			t.Errorf("%s: %s", s.Name, w)
		}
	}
}

// The policies of each overlay let exactly those pass that the table of edges
// names, and both ends agree.
func TestNetwork(t *testing.T) {
	games := get(t, "games/unreal")
	seen := make(map[manifests.Edge]bool)
	for _, s := range sets(t, "overlays/", "combinations/") {
		if s.Name == "overlays/hybrid/games" {
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			others := manifests.Outside()
			if s.Name == "overlays/hybrid" {
				others = append(others, manifests.OpenMatch()...)
			}
			if s.Name != "overlays/dev" {
				others = append(others, manifests.Agones()...)
			}
			whole := &manifests.Set{Name: s.Name, Objects: s.Objects}
			if slices.ContainsFunc(s.Objects, func(o *unstructured.Unstructured) bool { return o.GetKind() == "Namespace" && o.GetName() == "games" }) {
				whole.Objects = slices.Concat(s.Objects, games.Objects)
			}
			n, err := whole.Network(others...)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range n.OneSided() {
				t.Error(w)
			}
			edges := n.Edges()
			for _, e := range edges {
				seen[e] = true
				if !manifests.Known(e) {
					t.Errorf("%s is open, and not in the table", e)
				}
			}
			there := func(name string) bool {
				return slices.ContainsFunc(n.Endpoints, func(e manifests.Endpoint) bool { return e.Name == name })
			}
			for _, e := range manifests.Edges {
				optional := e.From == "prometheus" || e.To == "issuer" || e.Port == 8443 || e.Port == 50521
				if there(e.From) && there(e.To) && !optional && !slices.Contains(edges, e) {
					t.Errorf("%s is in the table, and closed", e)
				}
			}
		})
	}
	for _, e := range manifests.Edges {
		if !seen[e] {
			t.Errorf("no overlay has %s", e)
		}
	}
}

// A game reaches neither the director, nor Open Match, nor the metadata server.
func TestGamesAreConfined(t *testing.T) {
	whole := &manifests.Set{Objects: slices.Concat(get(t, "overlays/hybrid").Objects, get(t, "games/unreal").Objects)}
	n, err := whole.Network(slices.Concat(manifests.Outside(), manifests.OpenMatch(), manifests.Agones())...)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range n.Edges() {
		if e.From == "games" {
			got = append(got, e.String())
		}
	}
	want := []string{"games → apiserver:6443", "games → dns:53", "games → frontend:8080"}
	if !slices.Equal(got, want) {
		t.Errorf("games reach %q, want %q", got, want)
	}
}

// What the permanent node has beside a control plane on an e2-medium.
var (
	mostMemory = resource.MustParse("2200Mi")
	mostCPU    = resource.MustParse("1")
)

func TestBudget(t *testing.T) {
	om, err := manifests.OpenMatchRequests(root + "/values/open-match.yaml")
	if err != nil {
		t.Fatal(err)
	}
	agones, err := manifests.AgonesRequests(root + "/values/agones.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, charts := range map[string][]manifests.Line{
		"overlays/dev": nil, "overlays/minimatch": agones, "overlays/hybrid": slices.Concat(om, agones),
	} {
		lines, err := get(t, name).Requests()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range charts {
			if l.Pods == 0 || l.Memory.IsZero() || l.CPU.IsZero() {
				t.Errorf("%s: %s requests nothing", name, l.Name)
			}
		}
		lines = append(lines, charts...)
		t.Logf("%s\n%s", name, manifests.Table(lines))
		total := manifests.Total(lines)
		if total.Memory.Cmp(mostMemory) > 0 || total.CPU.Cmp(mostCPU) > 0 {
			t.Errorf("%s requests %s of memory and %s of CPU, more than %s and %s", name, &total.Memory, &total.CPU, &mostMemory, &mostCPU)
		}
	}
}
