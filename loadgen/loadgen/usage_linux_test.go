package loadgen

import (
	"os"
	"testing"
	"time"
)

func TestMachineTime(t *testing.T) {
	got, ok := parseMachineTime("cpu  1 2 3 400 500 6 7 8 9 9\ncpu0 1 1 1\n")
	if !ok || got != 27*10*time.Millisecond {
		t.Error(got, ok)
	}
	for _, bad := range []string{"", "cpu", "cpu 1 2 3 4 5 6 7", "cpu x 2 3 4 5 6 7 8", "cpu0 1 2 3 4 5 6 7 8"} {
		if got, ok := parseMachineTime(bad); ok {
			t.Errorf("%q: %s", bad, got)
		}
	}
}

func TestMeter(t *testing.T) {
	m := newMeter(os.Getpid())
	for used := 0.0; used == 0; {
		u, ok := m.read()
		if !ok || u.PeakBytes == 0 {
			t.Fatal("nothing known of this process")
		}
		used = u.CPUSeconds
	}
	if _, ok := newMeter(-1).read(); ok {
		t.Error("known of no process")
	}
}

func FuzzMachineTime(f *testing.F) {
	f.Add("cpu  1 2 3 400 500 6 7 8 9 9\n")
	f.Fuzz(func(t *testing.T, s string) { parseMachineTime(s) })
}
