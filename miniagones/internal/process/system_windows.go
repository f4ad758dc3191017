package process

import (
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// shell runs a line as the command prompt would.
func shell(line string) ([]string, error) { return []string{"cmd", "/C", line}, nil }

func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

func groupLives(*os.Process) bool { return false }

func observeExit(*os.Process) bool { return false }

// terminateGroup asks the process and its children to end; many programs
// don't listen, and are killed after the grace time.
func terminateGroup(p *os.Process) {
	_ = exec.Command("taskkill", "/T", "/PID", strconv.Itoa(p.Pid)).Run()
}

func killGroup(p *os.Process) {
	_ = exec.Command("taskkill", "/F", "/T", "/PID", strconv.Itoa(p.Pid)).Run()
}

// killRest can't reach them: the process that names them is gone.
func killRest(*os.Process) {}
