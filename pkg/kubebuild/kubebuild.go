// Package kubebuild builds the Kubernetes that tests run, from the modules in
// tools/, and keeps the programs in the user's cache. It has only the standard
// library, so that whoever needs a program can import it. Nothing on the
// player's path does.
package kubebuild

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// Env names the variable that gives ready-made programs in place of those of
// Kubernetes, the one that controller-runtime's envtest uses.
const Env = "KUBEBUILDER_ASSETS"

// ErrNotBuilt says that this machine has not all programs yet.
var ErrNotBuilt = errors.New("not built on this machine yet")

// recipe is how all programs are built. It is part of the cache's key.
const recipe = "CGO_ENABLED=0 -trimpath -s -w"

// Module is a module in tools/ and the programs that are built from it.
type Module struct {
	// Name is that of the folder in tools/, and of the one in the cache.
	Name string
	// versioned is the module whose version the programs are given, by the
	// linker, in the packages stamped.
	versioned string
	stamped   []string
	// env names a variable with a folder of ready-made programs.
	env string
	// paths are the packages of the programs.
	paths map[string]string
}

// Kubernetes is Kubernetes and the etcd that it is released with.
var Kubernetes = Module{
	Name:      "kubernetes",
	versioned: "k8s.io/kubernetes",
	stamped:   []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"},
	env:       Env,
	paths: map[string]string{
		"etcd":                    "go.etcd.io/etcd/server/v3",
		"kube-apiserver":          "k8s.io/kubernetes/cmd/kube-apiserver",
		"kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
		"kube-scheduler":          "k8s.io/kubernetes/cmd/kube-scheduler",
		"kube-proxy":              "k8s.io/kubernetes/cmd/kube-proxy",
		"kubeadm":                 "k8s.io/kubernetes/cmd/kubeadm",
		"kubectl":                 "k8s.io/kubernetes/cmd/kubectl",
		"kubelet":                 "k8s.io/kubernetes/cmd/kubelet",
	},
}

// CoreDNS is the DNS of a cluster.
var CoreDNS = Module{
	Name:      "coredns",
	versioned: "github.com/coredns/coredns",
	paths:     map[string]string{"coredns": "torikumi/tools/coredns"},
}

// Ensure returns a folder that has the programs. What it lacks is built, with
// progress on log; other processes that ask for the same meanwhile wait. The
// working directory has to be in the repository, unless the module's variable
// gives a folder: that has to have all of them.
func (m Module) Ensure(ctx context.Context, log io.Writer, programs ...string) (string, error) {
	if dir, err := m.Find(programs...); !errors.Is(err, ErrNotBuilt) {
		return dir, err
	}
	source, err := m.source()
	if err != nil {
		return "", err
	}
	dir, err := cacheDir(source, m.Name)
	if err != nil {
		return "", err
	}
	version, err := m.version(ctx, source, log)
	if err != nil {
		return "", err
	}
	return dir, ensure(ctx, dir, programs, log, func(program, file string) error {
		return m.build(ctx, source, version, program, file, log)
	})
}

// Find is Ensure without the build: it returns ErrNotBuilt instead. Tests use
// it, since a build is longer than go test's time limit.
func (m Module) Find(programs ...string) (string, error) {
	for _, p := range programs {
		if m.paths[p] == "" {
			return "", fmt.Errorf("%s is no program of tools/%s", p, m.Name)
		}
	}
	if m.env != "" && os.Getenv(m.env) != "" {
		dir := os.Getenv(m.env)
		if lacking := missing(dir, programs); len(lacking) > 0 {
			return "", fmt.Errorf("%s: %s lacks %s", m.env, dir, strings.Join(lacking, ", "))
		}
		return dir, nil
	}
	source, err := m.source()
	if err != nil {
		return "", err
	}
	dir, err := cacheDir(source, m.Name)
	if err != nil {
		return "", err
	}
	if lacking := missing(dir, programs); len(lacking) > 0 {
		return "", fmt.Errorf("%s: %w", strings.Join(lacking, ", "), ErrNotBuilt)
	}
	return dir, nil
}

// Version is the one that the module pins, such as "v1.34.4".
func (m Module) Version(ctx context.Context) (string, error) {
	source, err := m.source()
	if err != nil {
		return "", err
	}
	return m.version(ctx, source, os.Stderr)
}

func (m Module) version(ctx context.Context, source string, log io.Writer) (string, error) {
	out, err := goCommand(ctx, source, log, "list", "-m", "-f", "{{.Version}}", m.versioned).Output()
	if err != nil {
		return "", fmt.Errorf("find the version of %s: %w", m.versioned, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// Root is the top of the repository that the working directory is in.
func Root() (string, error) {
	wd, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := wd; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "tools", "kubernetes", "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no tools/kubernetes/go.mod in or above %s", wd)
		}
	}
}

// source is the module's folder.
func (m Module) source() (string, error) {
	root, err := Root()
	return filepath.Join(root, "tools", m.Name), err
}

// missing are the programs that dir lacks.
func missing(dir string, programs []string) (lacking []string) {
	for _, p := range programs {
		if _, err := exec.LookPath(filepath.Join(dir, p)); err != nil {
			lacking = append(lacking, p)
		}
	}
	return lacking
}

// cacheDir is named after everything that the programs depend on: go.mod names
// all modules with their versions, so which programs it lists does not matter.
func cacheDir(source, name string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	gomod, err := os.ReadFile(filepath.Join(source, "go.mod"))
	if err != nil {
		return "", err
	}
	key := sha256.New()
	fmt.Fprintln(key, recipe, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	fmt.Fprint(key, dependencies(string(gomod)))
	mains, err := filepath.Glob(filepath.Join(source, "*.go"))
	if err != nil {
		return "", err
	}
	for _, file := range mains { // Glob sorts
		content, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(key, len(content))
		key.Write(content)
	}
	return filepath.Join(cache, "torikumi", name, fmt.Sprintf("%x", key.Sum(nil))[:16]), nil
}

// dependencies is go.mod without its comments and its list of programs.
func dependencies(gomod string) string {
	var kept strings.Builder
	tools := false
	for line := range strings.Lines(gomod) {
		line, _, _ = strings.Cut(line, "//")
		line = strings.TrimSpace(line)
		switch {
		case line == "tool (":
			tools = true
		case tools:
			tools = line != ")"
		case line != "" && !strings.HasPrefix(line, "tool "):
			fmt.Fprintln(&kept, line)
		}
	}
	return kept.String()
}
