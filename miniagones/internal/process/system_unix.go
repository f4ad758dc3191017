//go:build unix

package process

import (
	"os"
	"syscall"
)

// The process leads its group, so that its number is the group's. It is
// waited for after the last signal only, so the number is still its own.

func terminateGroup(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGTERM) }

func killGroup(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGKILL) }

// killRest ends what a process that has been waited for has left in its group.
func killRest(p *os.Process) { killGroup(p) }
