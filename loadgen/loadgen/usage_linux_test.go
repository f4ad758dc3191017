package loadgen

import (
	"os"
	"testing"
)

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
	if m := newMachineMeter(); m.busy <= 0 || m.read() == nil {
		t.Errorf("nothing known of the machine: %+v", m)
	}
}
