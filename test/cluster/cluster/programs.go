package cluster

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"

	"torikumi/pkg/kubebuild"
)

// kubernetesPrograms are the programs that a cluster takes.
var kubernetesPrograms = []string{
	"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler",
	"kube-proxy", "kubeadm", "kubectl", "kubelet",
}

// own are the packages of our own programs.
var own = map[string]string{
	"torikumi-node":           "./cmd/torikumi-node",
	"torikumi-network-policy": "./cmd/torikumi-network-policy",
	"torikumi-registry":       "./cmd/torikumi-registry",
	"pause":                   "./cmd/pause",
}

// programs finds what the cluster runs, and builds what is not built yet.
func (c *Cluster) programs(ctx context.Context) error {
	dir, err := kubebuild.Kubernetes.Ensure(ctx, c.options.Progress, kubernetesPrograms...)
	if err != nil {
		return err
	}
	version, err := kubebuild.Kubernetes.Version(ctx)
	if err != nil {
		return err
	}
	dns, err := kubebuild.CoreDNS.Ensure(ctx, c.options.Progress, "coredns")
	if err != nil {
		return err
	}
	bin := c.path("bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	if err := buildOwn(ctx, bin); err != nil {
		return err
	}
	// A link, so that the cluster keeps its programs if the cache is emptied.
	for _, from := range append(paths(dir, kubernetesPrograms), filepath.Join(dns, "coredns")) {
		if err := link(from, filepath.Join(bin, filepath.Base(from))); err != nil {
			return err
		}
	}
	return c.change(func(s *state) { s.Programs, s.Version = bin, version })
}

// buildOwn builds our own programs. They stay in the user's cache, where the go
// command sees whether they are up to date: to link them takes seconds.
func buildOwn(ctx context.Context, bin string) error {
	root, err := kubebuild.Root()
	if err != nil {
		return err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	dir := filepath.Join(cache, "torikumi", "cluster")
	unlock, err := lockFolder(ctx, dir)
	if err != nil {
		return err
	}
	defer unlock()
	for name, pkg := range own {
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", filepath.Join(dir, name), pkg)
		cmd.Dir = filepath.Join(root, "test", "cluster")
		cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
		if _, err := output(cmd); err != nil {
			return err
		}
		if err := link(filepath.Join(dir, name), filepath.Join(bin, name)); err != nil {
			return err
		}
	}
	return nil
}

func paths(dir string, names []string) (paths []string) {
	for _, name := range names {
		paths = append(paths, filepath.Join(dir, name))
	}
	return paths
}

// link makes a hard link or, on another file system, a copy.
func link(from, to string) error {
	err := os.Link(from, to)
	if err == nil {
		return nil
	}
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(to, content, 0o755), os.Chmod(to, 0o755))
}
