//go:build unix

package journal_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"torikumi/gameserver/internal/journal"
)

// TestSpecialFiles: what is no regular file is refused at once, and stays as it is.
func TestSpecialFiles(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	if err := os.Mkdir(path("directory"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(path("pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(os.DevNull, path("device")); err != nil {
		t.Fatal(err)
	}
	socket, err := net.Listen("unix", path("socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	before, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"directory", "pipe", "device", "socket"} {
		j, err := journal.Open(path(name), nil)
		if err == nil {
			_ = j.Close()
			t.Fatalf("a %s is taken for a journal", name)
		}
		if !strings.HasPrefix(err.Error(), "must name a regular file") || !strings.Contains(err.Error(), name+` "`) {
			t.Errorf("%s: %v", name, err)
		}
	}
	after, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(after) != len(before) {
		t.Errorf("left behind: %v", after)
	}
	for i := range min(len(before), len(after)) {
		if before[i].Type() != after[i].Type() {
			t.Errorf("%s is %v now", after[i].Name(), after[i].Type())
		}
	}
}
