package redistest

import (
	"os/exec"
	"syscall"
)

// endWithTest has a process be killed when this one ends, as by a time-out of the tests.
func endWithTest(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
