package loadgen

import (
	"fmt"
	"runtime"
	"time"
)

// Usage is what a process took of the machine while tickets were made.
type Usage struct {
	// CPUSeconds are of all its threads, user and system; Share is in CPUs.
	CPUSeconds float64 `json:"cpu_seconds"`
	Share      float64 `json:"cpus"`
	// PeakBytes is, of the whole run, the most memory that was resident since the process began.
	PeakBytes int64 `json:"peak_resident_bytes"`
}

func (u Usage) String() string {
	return fmt.Sprintf("%.1f CPU seconds (%.2f CPUs), %d MB at most", u.CPUSeconds, u.Share, u.PeakBytes>>20)
}

// meter measures a process from its making on.
type meter struct {
	pid   int
	cpu   time.Duration
	start time.Time
}

func newMeter(pid int) meter {
	cpu, _ := cpuTime(pid) // unknown on this system: then read says so too
	return meter{pid: pid, cpu: cpu, start: time.Now()}
}

// read is the usage so far; ok is false where it cannot be known.
func (m meter) read() (Usage, bool) {
	cpu, ok := cpuTime(m.pid)
	if !ok {
		return Usage{}, false
	}
	used := (cpu - m.cpu).Seconds()
	return Usage{CPUSeconds: used, Share: used / time.Since(m.start).Seconds(), PeakBytes: peakMemory(m.pid)}, true
}

// Machine is what the whole machine did while tickets were made.
type Machine struct {
	// Busy is in CPUs, of CPUs that there are. What is neither the generator
	// nor the target is somebody else's, and can be the limit too.
	Busy float64 `json:"busy_cpus"`
	CPUs int     `json:"cpus"`
}

// machineMeter measures the machine from its making on.
type machineMeter struct {
	busy  time.Duration
	start time.Time
}

func newMachineMeter() machineMeter {
	busy, _ := machineTime()
	return machineMeter{busy: busy, start: time.Now()}
}

// read is nil where it cannot be known.
func (m machineMeter) read() *Machine {
	busy, ok := machineTime()
	if !ok {
		return nil
	}
	return &Machine{Busy: (busy - m.busy).Seconds() / time.Since(m.start).Seconds(), CPUs: runtime.NumCPU()}
}
