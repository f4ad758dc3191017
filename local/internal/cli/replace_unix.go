//go:build unix

package cli

import (
	"os"
	"syscall"

	"torikumi/pkg/service"
)

// replaceBy makes this process another program: who ends it, by whatever means, ends
// that.
func replaceBy(program string, p service.Process) (int, error) {
	return 0, syscall.Exec(program, append([]string{program}, p.Args...), os.Environ())
}
