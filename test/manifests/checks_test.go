package manifests_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"torikumi/test/manifests"
)

// changed is an overlay of which one object is changed.
func changed(t *testing.T, id string, change func(o map[string]any)) *manifests.Set {
	t.Helper()
	return changedIn(t, "overlays/minimatch", id, change)
}

func changedIn(t *testing.T, name, id string, change func(o map[string]any)) *manifests.Set {
	t.Helper()
	s := get(t, name)
	c := &manifests.Set{Name: s.Name}
	found := false
	for _, o := range s.Objects {
		o = o.DeepCopy()
		if manifests.ID(o) == id {
			change(o.Object)
			found = true
		}
		c.Objects = append(c.Objects, o)
	}
	if !found {
		t.Fatalf("no %s", id)
	}
	return c
}

func set(t *testing.T, o map[string]any, value any, path ...string) {
	t.Helper()
	if err := unstructured.SetNestedField(o, value, path...); err != nil {
		t.Fatal(err)
	}
}

// container is the only one of a Deployment.
func container(t *testing.T, o map[string]any) map[string]any {
	t.Helper()
	list, _, err := unstructured.NestedFieldNoCopy(o, "spec", "template", "spec", "containers")
	if err != nil {
		t.Fatal(err)
	}
	return list.([]any)[0].(map[string]any)
}

// The rules find what breaks them.
func TestRulesFind(t *testing.T) {
	const director = "torikumi deployment/director"
	pod := func(path ...string) []string { return append([]string{"spec", "template", "spec"}, path...) }
	for want, change := range map[string]func(o map[string]any){
		"must have a tag, and not latest":  func(o map[string]any) { container(t, o)["image"] = "torikumi/director:latest" },
		"must have a memory limit":         func(o map[string]any) { unstructured.RemoveNestedField(container(t, o), "resources", "limits") },
		"must request cpu":                 func(o map[string]any) { unstructured.RemoveNestedField(container(t, o), "resources", "requests") },
		"must be at most 90% of the limit": func(o map[string]any) { set(t, container(t, o), "230Mi", "resources", "limits", "memory") },
		"a liveness and a readiness probe": func(o map[string]any) { delete(container(t, o), "readinessProbe") },
		"must have a read-only root":       func(o map[string]any) { set(t, container(t, o), false, "securityContext", "readOnlyRootFilesystem") },
		"must drop ALL capabilities": func(o map[string]any) {
			unstructured.RemoveNestedField(container(t, o), "securityContext", "capabilities")
		},
		"must not gain privileges":           func(o map[string]any) { set(t, container(t, o), true, "securityContext", "allowPrivilegeEscalation") },
		"must run as another user than root": func(o map[string]any) { unstructured.RemoveNestedField(o, pod("securityContext", "runAsNonRoot")...) },
		"the seccomp profile":                func(o map[string]any) { set(t, o, "Unconfined", pod("securityContext", "seccompProfile", "type")...) },
		"must not mount a service account": func(o map[string]any) {
			set(t, o, "evaluator", "spec", "template", "metadata", "labels", "app.kubernetes.io/name") // which calls no API
		},
		"must have a service account of its":   func(o map[string]any) { set(t, o, "default", pod("serviceAccountName")...) },
		"must not share the node's namespaces": func(o map[string]any) { set(t, o, true, pod("hostNetwork")...) },
		"must not get service links":           func(o map[string]any) { unstructured.RemoveNestedField(o, pod("enableServiceLinks")...) },
		"must have a priority class":           func(o map[string]any) { unstructured.RemoveNestedField(o, pod("priorityClassName")...) },
		"must not be a path of the node": func(o map[string]any) {
			set(t, o, []any{map[string]any{"name": "n", "hostPath": map[string]any{"path": "/"}}}, pod("volumes")...)
		},
		"must have a size limit": func(o map[string]any) {
			set(t, o, []any{map[string]any{"name": "n", "emptyDir": map[string]any{}}}, pod("volumes")...)
		},
		"must not have the host port 80": func(o map[string]any) {
			container(t, o)["ports"] = []any{map[string]any{"containerPort": int64(80), "hostPort": int64(80)}}
		},
	} {
		wrong, err := changed(t, director, change).Check()
		if err != nil || !slices.ContainsFunc(wrong, func(w string) bool { return strings.Contains(w, want) }) {
			t.Errorf("%q is not found: %q %v", want, wrong, err)
		}
	}
	misspelt := changed(t, director, func(o map[string]any) { set(t, o, true, pod("hostnetwork")...) })
	if _, err := misspelt.Check(); err == nil || !strings.Contains(err.Error(), "hostnetwork") {
		t.Errorf("a field that is not there: %v", err)
	}
}

// A gate without what hides the token, or that stays dead, is found.
func TestRulesFindSidecars(t *testing.T) {
	for want, field := range map[string]string{
		"must mount an emptyDir at /var/run/secrets": "volumeMounts",
		"must be a native sidecar":                   "restartPolicy",
	} {
		s := changedIn(t, "games/reference", "games fleet/reference", func(o map[string]any) {
			list, _, err := unstructured.NestedFieldNoCopy(o, "spec", "template", "spec", "template", "spec", "initContainers")
			if err != nil {
				t.Fatal(err)
			}
			delete(list.([]any)[0].(map[string]any), field)
		})
		wrong, err := s.Check()
		if err != nil || !slices.ContainsFunc(wrong, func(w string) bool { return strings.Contains(w, want) }) {
			t.Errorf("%q is not found: %q %v", want, wrong, err)
		}
	}
}

func TestReferencesFind(t *testing.T) {
	for want, c := range map[string]struct {
		id     string
		change func(o map[string]any)
	}{
		"selects no pods": {"torikumi service/director", func(o map[string]any) { set(t, o, "nobody", "spec", "selector", "app.kubernetes.io/name") }},
		"has no port none": {"torikumi service/director", func(o map[string]any) {
			set(t, o, []any{map[string]any{"name": "x", "port": int64(1), "targetPort": "none"}}, "spec", "ports")
		}},
		"is no ServiceAccount": {"torikumi deployment/director", func(o map[string]any) { set(t, o, "gone", "spec", "template", "spec", "serviceAccountName") }},
		"is no ConfigMap gone": {"torikumi deployment/director", func(o map[string]any) {
			container(t, o)["envFrom"] = []any{map[string]any{"configMapRef": map[string]any{"name": "gone"}}}
		}},
		"could never be":         {"torikumi poddisruptionbudget/director", func(o map[string]any) { set(t, o, int64(2), "spec", "minAvailable") }},
		"there is no Deployment": {"torikumi horizontalpodautoscaler/matchfunction", func(o map[string]any) { set(t, o, "gone", "spec", "scaleTargetRef", "name") }},
	} {
		wrong, err := changed(t, c.id, c.change).References()
		if err != nil || !slices.ContainsFunc(wrong, func(w string) bool { return strings.Contains(w, want) }) {
			t.Errorf("%q is not found: %q %v", want, wrong, err)
		}
	}
}

// A rule that one end lacks is found, and so is one that names nobody.
func TestNetworkFinds(t *testing.T) {
	oneSided := func(id string, change func(o map[string]any)) []string {
		s := changed(t, id, change)
		s.Objects = append(s.Objects, get(t, "games/reference").Objects...)
		n, err := s.Network(append(manifests.Outside(), manifests.Agones()...)...)
		if err != nil {
			t.Fatal(err)
		}
		return n.OneSided()
	}
	if wrong := oneSided("torikumi networkpolicy/dns", func(map[string]any) {}); len(wrong) > 0 {
		t.Errorf("without a change: %q", wrong)
	}
	for id, want := range map[string]string{
		"torikumi networkpolicy/frontend": "the other end does not allow frontend → director:50520",
		"torikumi networkpolicy/director": "the other end does not allow frontend → director:50520",
	} {
		direction := map[bool]string{true: "egress", false: "ingress"}[strings.HasSuffix(id, "frontend")]
		wrong := oneSided(id, func(o map[string]any) { set(t, o, []any{}, "spec", direction) })
		if !slices.ContainsFunc(wrong, func(w string) bool { return strings.Contains(w, want) }) {
			t.Errorf("%s without %s: %q", id, direction, wrong)
		}
	}
	wrong := oneSided("torikumi networkpolicy/matchfunction", func(o map[string]any) {
		set(t, o, []any{map[string]any{"from": []any{map[string]any{"podSelector": map[string]any{"matchLabels": map[string]any{"a": "b"}}}}}}, "spec", "ingress")
	})
	if !slices.ContainsFunc(wrong, func(w string) bool { return strings.Contains(w, "nobody is there") }) {
		t.Errorf("a rule for nobody: %q", wrong)
	}
}

// Whoever reads a command knows that no test runs it. TestLaptop in test/cluster/e2e
// runs those of one section.
func TestCommandsSayWhetherTheyRan(t *testing.T) {
	block := regexp.MustCompile(`(?m)(?:^(?: {4}| {7})\S.*\n?)+`)
	run := regexp.MustCompile(`(?s)\n## On a laptop\n.*?(\n## )`)
	fenced := regexp.MustCompile("(?ms)^```.*?^```$")
	for _, file := range []string{"deploy.md", "from-easy-open-match.md"} {
		text, err := os.ReadFile("../../docs/" + file)
		if err != nil {
			t.Fatal(err)
		}
		text = fenced.ReplaceAll(text, nil) // settings, not commands
		if file == "deploy.md" {
			if !run.Match(text) {
				t.Errorf("%s: the section that is run is not there", file)
			}
			text = run.ReplaceAll(text, []byte("$1"))
		}
		places := block.FindAllIndex(text, -1)
		if len(places) == 0 {
			t.Errorf("%s has no commands", file)
		}
		for _, p := range places {
			before := strings.TrimSpace(string(text[:p[0]]))
			paragraph := strings.ToLower(before[strings.LastIndex(before, "\n\n")+1:])
			commands := string(text[p[0]:p[1]])
			if !strings.Contains(paragraph, "not run") {
				t.Errorf("%s: say \"not run\" before\n%s", file, commands)
			}
		}
	}
}
