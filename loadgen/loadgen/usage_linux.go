package loadgen

import (
	"os/exec"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// cpuTime reads the CPU clock of a process (clock_getcpuclockid(3)), which
// counts in nanoseconds where /proc counts in hundredths of a second.
func cpuTime(pid int) (time.Duration, bool) {
	const processClock = 2 // CPUCLOCK_SCHED
	var ts unix.Timespec
	if pid <= 0 {
		return 0, false
	}
	if err := unix.ClockGettime(int32(^pid<<3|processClock), &ts); err != nil {
		return 0, false
	}
	return time.Duration(ts.Nano()), true
}

// machineTime is the CPU time of everything that runs on the machine. Guests are
// in User and Nice already.
func machineTime() (time.Duration, bool) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return 0, false
	}
	stat, err := fs.Stat()
	if err != nil {
		return 0, false
	}
	c := stat.CPUTotal
	busy := c.User + c.Nice + c.System + c.IRQ + c.SoftIRQ + c.Steal
	return time.Duration(busy * float64(time.Second)), true
}

// peakMemory is the most memory that was ever resident, in bytes; 0 if unknown.
func peakMemory(pid int) int64 {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return 0
	}
	status, err := p.NewStatus()
	if err != nil {
		return 0
	}
	return int64(status.VmHWM)
}

// bind gives the child a process group of its own, so that a Ctrl-C reaches it
// through us, and lets the kernel end it when we die in whatever way.
func bind(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
