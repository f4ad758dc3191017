package manifests_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"torikumi/director/director"
	"torikumi/evaluator/evaluator"
	"torikumi/failover/failover"
	"torikumi/frontend/beacon"
	"torikumi/frontend/frontend"
	"torikumi/gameserver/gate"
	"torikumi/gameserver/server"
	"torikumi/local/devissuer"
	"torikumi/matchfunction/matchfunction"
	"torikumi/miniagones/kubernetes/controller"
	"torikumi/minimatch/minimatch"
	"torikumi/pkg/config"
	"torikumi/test/manifests"
)

// program is one of ours: its settings, and what their variables begin with.
type program struct {
	prefix   string
	settings func() any
}

// programs by their images.
var programs = map[string]program{
	"frontend":      {"FRONTEND_", func() any { return new(frontend.Config) }},
	"beacon":        {"BEACON_", func() any { return new(beacon.Config) }},
	"matchfunction": {"MATCHFUNCTION_", func() any { return new(matchfunction.Config) }},
	"evaluator":     {"EVALUATOR_", func() any { return new(evaluator.Config) }},
	"director":      {"DIRECTOR_", func() any { return new(director.Config) }},
	"failover":      {"FAILOVER_", func() any { return new(failover.Config) }},
	"minimatch":     {"MINIMATCH_", func() any { return new(minimatch.Config) }},
	"miniagones":    {"MINIAGONES_", func() any { return new(controller.Config) }},
	"devissuer":     {"DEVISSUER_", func() any { return new(devissuer.Config) }},
	"gate":          {"GATE_", func() any { return new(gate.Config) }},
	"gameserver":    {"SERVER_", func() any { return new(server.Config) }},
}

// notOurs are images that have none of our settings.
var notOurs = regexp.MustCompile(`^(docker\.io/library/redis|torikumi/unreal-server):`)

// Every program of an overlay starts with the arguments and variables that it gets
// there: each is a setting that it has, and the values keep the rules.
func TestSettings(t *testing.T) {
	for _, s := range sets(t, "overlays/", "games/", "combinations/", "examples/") {
		workloads, err := s.Workloads()
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range workloads {
			for _, c := range w.Containers() {
				if notOurs.MatchString(c.Image) {
					continue
				}
				if err := checkSettings(t, s, w, c); err != nil {
					t.Errorf("%s: %s: container %s: %v", s.Name, w.ID, c.Name, err)
				}
			}
		}
	}
}

func checkSettings(t *testing.T, s *manifests.Set, w manifests.Workload, c corev1.Container) error {
	name := c.Image[strings.LastIndex(c.Image, "/")+1 : strings.LastIndex(c.Image, ":")]
	p, ok := programs[name]
	if !ok {
		return fmt.Errorf("the image %s is none of ours", c.Image)
	}
	env, err := environment(s, w, c)
	if err != nil {
		return err
	}
	var environ []string
	for k, v := range env {
		environ = append(environ, k+"="+v)
	}
	if unknown := config.Unknown(p.settings(), p.prefix, environ); len(unknown) > 0 {
		return fmt.Errorf("has no settings %q", unknown)
	}
	files := mounted(t, s, w, c)
	getenv := func(k string) string { return files.Replace(env[k]) }
	if name == "failover" { // its manifests' own test loads them with its files
		getenv = func(k string) string { return env[k] }
	}
	return config.Load(name, p.prefix, p.settings(), c.Args, getenv, io.Discard)
}

// environment is what a container's variables are.
func environment(s *manifests.Set, w manifests.Workload, c corev1.Container) (map[string]string, error) {
	env := make(map[string]string)
	for _, from := range c.EnvFrom {
		if from.ConfigMapRef == nil {
			return nil, fmt.Errorf("variables from %v cannot be checked", from)
		}
		data, err := configMap(s, w.Namespace, from.ConfigMapRef.Name)
		if err != nil {
			return nil, err
		}
		for k, v := range data {
			env[k] = v
		}
	}
	for _, e := range c.Env {
		env[e.Name] = e.Value
	}
	return env, nil
}

func configMap(s *manifests.Set, namespace, name string) (map[string]string, error) {
	for _, o := range s.Objects {
		if o.GetKind() == "ConfigMap" && o.GetNamespace() == namespace && o.GetName() == name {
			data, _, err := unstructured.NestedStringMap(o.Object, "data")
			return data, err
		}
	}
	return nil, fmt.Errorf("no ConfigMap %s", name)
}

// mounted writes the files of a container's ConfigMaps, and replaces their paths
// in the pod by those where they are here.
func mounted(t *testing.T, s *manifests.Set, w manifests.Workload, c corev1.Container) *strings.Replacer {
	t.Helper()
	var pairs []string
	for _, m := range c.VolumeMounts {
		for _, v := range w.Spec.Volumes {
			if v.Name != m.Name || v.ConfigMap == nil {
				continue
			}
			data, err := configMap(s, w.Namespace, v.ConfigMap.Name)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			for name, content := range data {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			pairs = append(pairs, m.MountPath, dir)
		}
	}
	return strings.NewReplacer(pairs...)
}

// The gates know the frontend by the name that it signs with.
func TestIssuers(t *testing.T) {
	for overlay, games := range map[string]string{"overlays/dev": "games/reference", "overlays/hybrid": "overlays/hybrid/games"} {
		issuer := func(set, variable string) string {
			s := get(t, set)
			workloads, err := s.Workloads()
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range workloads {
				for _, c := range w.Containers() {
					if env, err := environment(s, w, c); err == nil && env[variable] != "" {
						return env[variable]
					}
				}
			}
			return ""
		}
		if a, b := issuer(overlay, "FRONTEND_ISSUER"), issuer(games, "GATE_ISSUER"); a == "" || a != b {
			t.Errorf("%s signs as %q, %s expects %q", overlay, a, games, b)
		}
	}
}
