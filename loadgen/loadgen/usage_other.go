//go:build !linux

package loadgen

import (
	"os/exec"
	"time"
)

// cpuTime is known on Linux alone.
func cpuTime(int) (time.Duration, bool) { return 0, false }

func machineTime() (time.Duration, bool) { return 0, false }

func peakMemory(int) int64 { return 0 }

func bind(*exec.Cmd) {}
