package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"torikumi/pkg/kubebuild"
)

// ErrNotBuilt says that this machine has no Kubernetes yet.
var ErrNotBuilt = errors.New("Kubernetes is not built on this machine yet: run `make kubernetes` (once, takes about 6 minutes), or set " + kubebuild.Env + " to a folder that has it")

var programs = []string{"etcd", "kube-apiserver", "kube-controller-manager"}

// Binaries returns the folder with etcd, kube-apiserver and
// kube-controller-manager. It is KUBEBUILDER_ASSETS where that is set. Else it
// is in the user's cache, and what is not there is built.
func Binaries(ctx context.Context) (string, error) {
	return kubebuild.Kubernetes.Ensure(ctx, os.Stderr, programs...)
}

// NodeBinaries returns a folder with kubeadm and kubelet, built and kept as
// those of Binaries are, and their version, such as "1.34.4".
func NodeBinaries(ctx context.Context) (dir, version string, err error) {
	if version, err = kubebuild.Kubernetes.Version(ctx); err != nil {
		return "", "", err
	}
	dir, err = kubebuild.Kubernetes.Ensure(ctx, os.Stderr, "kubeadm", "kubelet")
	return dir, strings.TrimPrefix(version, "v"), err
}

// Find is Binaries without the build: it returns ErrNotBuilt instead. Tests use
// it, since a build is longer than go test's time limit.
func Find() (string, error) {
	dir, err := kubebuild.Kubernetes.Find(programs...)
	if errors.Is(err, kubebuild.ErrNotBuilt) {
		return "", fmt.Errorf("%w (%w)", ErrNotBuilt, err)
	}
	return dir, err
}
