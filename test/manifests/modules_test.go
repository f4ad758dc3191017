package manifests_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"torikumi/test/manifests"
)

// TestRuleModules has docs/custom-rules.md bring a module to the match function.
func TestRuleModules(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "..", "docs", "custom-rules.md"))
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```yaml\n(configMapGenerator:.*?)```").FindSubmatch(text)
	if block == nil {
		t.Fatal("the document has no configMapGenerator")
	}
	dir, err := os.MkdirTemp(root+"/overlays", "modules-") // krusty reads nothing above an absolute path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	module := "\x00asm\x01\x00\x00\x00\xff"
	for name, content := range map[string]string{"rematch.wasm": module, "kustomization.yaml": "resources: [../dev]\n" + string(block[1])} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set, err := manifests.Render("modules", dir)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, o := range set.Objects {
		switch {
		case o.GetKind() == "ConfigMap" && o.GetName() == "rule-modules":
			found++
			if got, _ := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(data(o, "binaryData", "rematch.wasm")), "")); string(got) != module {
				t.Errorf("the ConfigMap has %q", got)
			}
		case o.GetKind() == "Deployment" && o.GetName() == "matchfunction":
			found++
			containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
			c := containers[0].(map[string]any)
			env, _, _ := unstructured.NestedSlice(c, "env")
			mounts, _, _ := unstructured.NestedSlice(c, "volumeMounts")
			if !has(env, "name", "MATCHFUNCTION_RULE_MODULES") || !has(env, "name", "GOMEMLIMIT") || !has(mounts, "mountPath", "/etc/torikumi/rule-modules") || c["image"] == nil {
				t.Errorf("the match function has env %v, mounts %v", env, mounts)
			}
		}
	}
	if found != 2 {
		t.Errorf("%d of ConfigMap and Deployment are there", found)
	}
}

func has(list []any, key, value string) bool {
	for _, item := range list {
		if item.(map[string]any)[key] == value {
			return true
		}
	}
	return false
}
