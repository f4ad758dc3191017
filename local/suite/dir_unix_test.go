//go:build unix

package suite

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestMain called with a variable is a process that opens a directory and waits to be
// killed.
func TestMain(m *testing.M) {
	if os.Getenv("SUITE_TEST_DIR") != "" {
		dir, _, err := openDir()
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "key"), []byte("secret"), 0o600)
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(dir)
		select {}
	}
	os.Exit(m.Run())
}

// TestKilledSuite: the next start removes the keys of one that was killed, and nobody
// else's.
func TestKilledSuite(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	other := func() (*exec.Cmd, string) {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), "SUITE_TEST_DIR=1")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		dir, err := bufio.NewReader(out).ReadString('\n')
		if err != nil || len(dir) < 2 {
			t.Fatalf("%q, %v", dir, err)
		}
		return cmd, dir[:len(dir)-1]
	}
	there := func(dir string) bool { _, err := os.Stat(filepath.Join(dir, "key")); return err == nil }
	_, living := other()
	killed, left := other()
	foreign := filepath.Join(os.TempDir(), dirPattern+"unmarked")
	if err := os.Mkdir(foreign, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.Wait()
	if !there(left) {
		t.Fatal("the process that was killed has left no key: the test shows nothing")
	}
	dir, release, err := openDir()
	if err != nil {
		t.Fatal(err)
	}
	if there(left) {
		t.Error("the key of the suite that was killed is still there")
	}
	if _, err := os.Stat(foreign); err != nil || !there(living) {
		t.Errorf("what is not abandoned was removed (%v)", err)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("released, and still there: %v", err)
	}
}
