package loadgen

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

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

// machineTime is the CPU time of everything that runs on the machine, by the
// first line of /proc/stat (proc(5)), in hundredths of a second.
func machineTime() (time.Duration, bool) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, false
	}
	return parseMachineTime(string(b))
}

// parseMachineTime adds all columns but those of waiting, and those of guests,
// which are in the others already.
func parseMachineTime(stat string) (time.Duration, bool) {
	const tick = time.Second / 100
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, false
	}
	var busy time.Duration
	for i, text := range fields[1:9] {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return 0, false
		}
		if i != 3 && i != 4 { // idle, iowait
			busy += time.Duration(n) * tick
		}
	}
	return busy, true
}

// peakMemory is VmHWM of proc(5), in bytes; 0 if unknown.
func peakMemory(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), "kB")), 10, 64)
			if err != nil {
				return 0
			}
			return kb << 10
		}
	}
	return 0
}

// bind gives the child a process group of its own, so that a Ctrl-C reaches it
// through us, and lets the kernel end it when we die in whatever way.
func bind(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
