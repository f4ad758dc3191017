//go:build unix && !linux

package process

import (
	"os"
	"os/exec"
	"syscall"
)

// isolate gives the process a group of its own. There is no way here to have
// it killed when we die by a signal that can't be caught.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}

func groupLives(*os.Process) bool { return false }

// observeExit can't see here that a process has ended without collecting it.
func observeExit(*os.Process) bool { return false }
