package controlplane

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// ErrNotBuilt says that this machine has no Kubernetes yet.
var ErrNotBuilt = errors.New("Kubernetes is not built on this machine yet: run `make kubernetes` (once, takes about 6 minutes), or set KUBEBUILDER_ASSETS to a folder that has it")

// assetsEnv names the variable that gives ready-made programs, the one that
// controller-runtime's envtest uses.
const assetsEnv = "KUBEBUILDER_ASSETS"

// program is one that is built from the module in tools/kubernetes.
type program struct {
	name string
	path string
}

var (
	controlPlane = []program{
		{"etcd", "go.etcd.io/etcd/server/v3"},
		{"kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"},
		{"kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"},
	}
	node = []program{
		{"kubeadm", "k8s.io/kubernetes/cmd/kubeadm"},
		{"kubelet", "k8s.io/kubernetes/cmd/kubelet"},
	}
)

// recipe is how they are built. It is part of the cache's key.
const recipe = "CGO_ENABLED=0 -trimpath -s -w"

// Binaries returns the folder with etcd, kube-apiserver and
// kube-controller-manager. It is KUBEBUILDER_ASSETS where that is set. Else it
// is in the user's cache, and what is not there is built from the module in
// tools/kubernetes, with progress on stderr; other processes that ask meanwhile
// wait for that build. It has to be called somewhere in the repository.
func Binaries(ctx context.Context) (string, error) {
	dir, err := Find()
	if !errors.Is(err, ErrNotBuilt) {
		return dir, err
	}
	module, err := toolsModule()
	if err != nil {
		return "", err
	}
	if dir, err = cacheDir(module); err != nil {
		return "", err
	}
	return dir, ensure(ctx, dir, controlPlane, os.Stderr, func(into string) error {
		return build(ctx, module, controlPlane, into, os.Stderr)
	})
}

// NodeBinaries returns a folder with kubeadm and kubelet, built and kept as
// those of Binaries are, and their version, such as "1.34.4".
func NodeBinaries(ctx context.Context) (dir, version string, err error) {
	module, err := toolsModule()
	if err != nil {
		return "", "", err
	}
	if dir, err = cacheDir(module); err != nil {
		return "", "", err
	}
	if version, err = kubernetesVersion(ctx, module, os.Stderr); err != nil {
		return "", "", err
	}
	dir += "-node"
	return dir, strings.TrimPrefix(version, "v"), ensure(ctx, dir, node, os.Stderr, func(into string) error {
		return build(ctx, module, node, into, os.Stderr)
	})
}

// Find is Binaries without the build: it returns ErrNotBuilt instead. Tests use
// it, since a build is longer than go test's time limit.
func Find() (string, error) {
	if dir := os.Getenv(assetsEnv); dir != "" {
		if err := complete(dir, controlPlane); err != nil {
			return "", fmt.Errorf("%s: %w", assetsEnv, err)
		}
		return dir, nil
	}
	module, err := toolsModule()
	if err != nil {
		return "", err
	}
	dir, err := cacheDir(module)
	if err != nil {
		return "", err
	}
	if err := complete(dir, controlPlane); err != nil {
		return "", ErrNotBuilt
	}
	return dir, nil
}

// complete reports the first program that dir lacks. envtest's own archives
// have no kube-controller-manager, for example.
func complete(dir string, programs []program) error {
	for _, p := range programs {
		if _, err := exec.LookPath(filepath.Join(dir, p.name)); err != nil {
			return fmt.Errorf("%s is missing: %w", p.name, err)
		}
	}
	return nil
}

// toolsModule finds tools/kubernetes in the working directory's repository.
func toolsModule() (string, error) {
	wd, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := wd; ; dir = filepath.Dir(dir) {
		module := filepath.Join(dir, "tools", "kubernetes")
		if _, err := os.Stat(filepath.Join(module, "go.mod")); err == nil {
			return module, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no tools/kubernetes/go.mod in or above %s", wd)
		}
	}
}

// cacheDir is named after everything that the programs depend on.
func cacheDir(module string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	key := sha256.New()
	fmt.Fprintln(key, recipe, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	for _, name := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(filepath.Join(module, name))
		if err != nil {
			return "", err
		}
		fmt.Fprintln(key, len(content))
		key.Write(content)
	}
	return filepath.Join(cache, "torikumi", "kubernetes", fmt.Sprintf("%x", key.Sum(nil))[:16]), nil
}

// ensure makes dir by make, which is given a folder to fill, unless it is
// there with all programs. dir appears as a whole or not at all, and of several
// processes one makes it.
func ensure(ctx context.Context, dir string, programs []program, log io.Writer, make func(into string) error) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	unlock, err := lock(ctx, dir+".lock", log)
	if err != nil {
		return err
	}
	defer unlock()
	switch _, err := os.Stat(dir); {
	case err == nil && complete(dir, programs) == nil:
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	// The lock is ours: what stands there is of one that was killed.
	into := dir + ".building"
	if err := errors.Join(os.RemoveAll(into), os.Mkdir(into, 0o755)); err != nil {
		return err
	}
	if err := make(into); err != nil {
		return errors.Join(err, os.RemoveAll(into))
	}
	// What stands there is incomplete: somebody removed a part.
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Rename(into, dir)
}

// lock waits for the file's lock. The kernel releases it if the process dies.
func lock(ctx context.Context, name string, log io.Writer) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for said := false; ; said = true {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", name, err)
		}
		if !said {
			fmt.Fprintln(log, "waiting for another process that builds Kubernetes …")
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
}

// kubernetesVersion is the one that the module pins, with its "v".
func kubernetesVersion(ctx context.Context, module string, log io.Writer) (string, error) {
	out, err := goCommand(ctx, module, log, "list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes").Output()
	if err != nil {
		return "", fmt.Errorf("find the version of Kubernetes: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// build builds programs into a folder.
func build(ctx context.Context, module string, programs []program, into string, log io.Writer) error {
	version, err := kubernetesVersion(ctx, module, log)
	if err != nil {
		return err
	}
	fmt.Fprintf(log, "building Kubernetes %s once, takes up to 6 minutes on 2 idle cores …\n", version)
	for _, p := range programs {
		start := time.Now()
		cmd := goCommand(ctx, module, log, "build", "-trimpath", "-ldflags", ldflags(version),
			"-o", filepath.Join(into, p.name), p.path)
		cmd.Stdout = log
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("build %s: %w", p.name, err)
		}
		fmt.Fprintf(log, "  %s: %s\n", p.name, time.Since(start).Round(time.Second))
	}
	return nil
}

func goCommand(ctx context.Context, module string, log io.Writer, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = module
	cmd.Env = append(cmd.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	cmd.Stderr = log
	return cmd
}

// ldflags lets the programs say their version, which clients ask for.
func ldflags(version string) string {
	flags := []string{"-s", "-w"}
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		flags = append(flags, "-X", pkg+".gitVersion="+version,
			"-X", pkg+".gitMajor="+parts[0], "-X", pkg+".gitMinor="+parts[1])
	}
	return strings.Join(flags, " ")
}
