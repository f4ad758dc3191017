package failover_test

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"torikumi/failover/failover"
	"torikumi/pkg/config"
)

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// The settings in the manifests exist, and the example's are valid.
func TestManifestSettings(t *testing.T) {
	env := map[string]string{}
	line := regexp.MustCompile(`(?m)^(?:  - )?(FAILOVER_[A-Z_]+)=(.*)$`)
	for _, file := range []string{manifests + "/config.env", "../../manifests/examples/failover/kustomization.yaml"} {
		found := line.FindAllStringSubmatch(read(t, file), -1)
		if len(found) == 0 {
			t.Errorf("no settings in %s", file)
		}
		for _, m := range found {
			env[m[1]] = m[2]
			if unknown := config.Unknown(&failover.Config{}, "FAILOVER_", []string{m[0][strings.Index(m[0], "F"):]}); len(unknown) > 0 {
				t.Errorf("%s: there is no setting %s", file, m[1])
			}
		}
	}
	var c failover.Config
	if err := config.Load("failover", "FAILOVER_", &c, nil, func(k string) string { return env[k] }, io.Discard); err != nil {
		t.Error(err)
	}
}

// Each file of a base is in its kustomization.
func TestManifestsAreWhole(t *testing.T) {
	for _, dir := range []string{manifests, manifests + "/crd", "../../manifests/base/namespace", "../../manifests/base/kata"} {
		text := read(t, filepath.Join(dir, "kustomization.yaml"))
		if err := yaml.UnmarshalStrict([]byte(text), &map[string]any{}); err != nil {
			t.Errorf("%s: %v", dir, err)
		}
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if f.Name() != "kustomization.yaml" && !strings.Contains(text, f.Name()) {
				t.Errorf("%s: %s is in no kustomization", dir, f.Name())
			}
		}
	}
}
