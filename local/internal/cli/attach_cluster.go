package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"torikumi/pkg/service"
)

// clusterProgram attaches to a cluster. It is a program of its own, as it needs all of
// Kubernetes's libraries and nothing else here does.
const clusterProgram = "torikumi-attach"

// forCluster reports whether the arguments of attach are for a cluster.
func forCluster(args []string) bool {
	return slices.ContainsFunc(args, func(a string) bool {
		flag, _, _ := strings.Cut(strings.TrimLeft(a, "-"), "=")
		return strings.HasPrefix(a, "-") && flag == "kubeconfig"
	})
}

// attachToCluster has clusterProgram, beside this one or in the path, do it.
func attachToCluster(p service.Process) int {
	program, err := findClusterProgram()
	if err != nil {
		return p.Fail("torikumi attach", err)
	}
	code, err := replaceBy(program, p)
	if err != nil {
		return p.Fail("torikumi attach", fmt.Errorf("run %s: %w", program, err))
	}
	return code
}

func findClusterProgram() (string, error) {
	if own, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(own), clusterProgram)
		if found, err := exec.LookPath(beside); err == nil {
			return found, nil
		}
	}
	found, err := exec.LookPath(clusterProgram)
	if errors.Is(err, exec.ErrNotFound) {
		return "", fmt.Errorf("--kubeconfig needs the program %s beside this one or in the PATH: go build -o bin/%s ./local/cmd/%s", clusterProgram, clusterProgram, clusterProgram)
	}
	return found, err
}
