package manifests_test

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"torikumi/test/manifests"
)

// TestQueuesName: a change of the queues reaches the pods that run, also in an
// overlay that has queues of its own, and replaces them only under skaffold. Neither
// is by subPath, which never changes.
func TestQueuesName(t *testing.T) {
	dir, err := os.MkdirTemp(root+"/overlays", "queues-") // krusty reads nothing above an absolute path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for name, text := range map[string]string{
		"queues.yaml": "queues: []", "raid.json": "{}",
		"kustomization.yaml": "resources: [../dev]\nconfigMapGenerator:\n- {name: queues, namespace: torikumi, behavior: replace, files: [queues.yaml, raid.json]}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	own, err := manifests.Render("own", dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range []*manifests.Set{own, get(t, "overlays/dev"), get(t, "overlays/minimatch"), get(t, "overlays/hybrid"), get(t, "skaffold")} {
		if names := queuesMounts(t, set); !slices.Equal(names, []string{"queues", "queues"}) {
			t.Errorf("%s: frontend and director mount %v", set.Name, names)
		}
		templates, queues := 0, ""
		for _, o := range set.Objects {
			switch o.GetKind() {
			case "ConfigMap":
				queues = cmp.Or(data(o, "data", "queues.yaml"), queues)
			case "Deployment":
				if text := data(o, "spec", "template", "metadata", "annotations", "queues"); text != "" && text == queues {
					templates++
				}
			}
		}
		if want := map[string]int{"skaffold": 2}[set.Name]; templates != want {
			t.Errorf("%s: a change of the queues replaces the pods of %d deployments, want %d", set.Name, templates, want)
		}
	}
}

func data(o *unstructured.Unstructured, path ...string) string {
	text, _, _ := unstructured.NestedString(o.Object, path...)
	return text
}

// queuesMounts are the names of the ConfigMaps that deployments have as volume "queues".
func queuesMounts(t *testing.T, set *manifests.Set) (names []string) {
	t.Helper()
	for _, o := range set.Objects {
		volumes, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "volumes")
		for _, v := range volumes {
			if volume := v.(map[string]any); volume["name"] == "queues" {
				name, _, _ := unstructured.NestedString(volume, "configMap", "name")
				names = append(names, name)
			}
		}
		containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
		for _, c := range containers {
			mounts, _, _ := unstructured.NestedSlice(c.(map[string]any), "volumeMounts")
			for _, m := range mounts {
				if mount := m.(map[string]any); mount["name"] == "queues" && mount["subPath"] != nil {
					t.Errorf("%s: %s has it by subPath", set.Name, manifests.ID(o))
				}
			}
		}
	}
	return names
}
