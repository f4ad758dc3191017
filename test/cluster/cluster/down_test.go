package cluster

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestDownWithoutACluster(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "none")
	if err := Down(t.Context(), folder); err != nil {
		t.Error(err)
	}
	if _, err := Open(folder); !errors.Is(err, ErrNoCluster) {
		t.Errorf("Open() = %v, want ErrNoCluster", err)
	}
}

// A crash may come while the state is written.
func TestDownAfterAHalfWrittenState(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "state")
	c := newCluster(folder, &state{Index: -1})
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.save(), os.WriteFile(filepath.Join(folder, ".new-123"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := Down(t.Context(), folder); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is left: %v", err)
	}
}

// A folder with something else in it is not touched.
func TestFoldersOfOthers(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "thesis.txt")
	if err := os.WriteFile(file, []byte("years"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Down(t.Context(), folder); err == nil || !strings.Contains(err.Error(), "thesis.txt") {
		t.Errorf("Down() = %v, want what is in the way", err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}

func TestProcessesAreToldApart(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p, err := identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if !p.alive() {
		t.Error("it is not alive")
	}
	for _, other := range []process{{p.PID, "1", p.Boot}, {p.PID, p.Started, "another boot"}} {
		if other.alive() {
			t.Errorf("%v is taken for %v", p, other)
		}
	}
	// Nobody reaps it meanwhile: what has ended is not alive.
	if err := p.kill(t.Context()); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // killed is how it ends
}

func TestCommandsWaitForEachOther(t *testing.T) {
	folder := t.TempDir()
	unlock, err := lockFolder(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := lockFolder(ctx, folder); !errors.Is(err, errLocked) {
		t.Errorf("a second lock: %v", err)
	}
	unlock()
	if unlock, err = lockFolder(t.Context(), folder); err != nil {
		t.Fatal(err)
	}
	unlock()
}
