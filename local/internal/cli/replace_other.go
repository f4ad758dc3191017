//go:build !unix

package cli

import (
	"errors"
	"os/exec"

	"torikumi/pkg/service"
)

// replaceBy runs another program to its end.
func replaceBy(program string, p service.Process) (int, error) {
	cmd := exec.Command(program, p.Args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.Stdin, p.Stdout, p.Stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}
