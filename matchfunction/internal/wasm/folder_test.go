package wasm

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/tetratelabs/wazero/api"

	"torikumi/matchfunction/internal/wasm/wasmtest"
	"torikumi/pkg/eventually"
)

type folder struct {
	*testing.T
	*Folder
	dir string
	log *bytes.Buffer
}

// newFolder has the files, by name.
func newFolder(t *testing.T, files map[string][]byte) *folder {
	t.Helper()
	f := &folder{T: t, dir: t.TempDir(), log: new(bytes.Buffer)}
	for name, text := range files {
		f.write(name, text)
	}
	limits := DefaultLimits
	limits.Call = time.Minute // the machine may be busy
	var err error
	f.Folder, err = NewFolder(t.Context(), FolderOptions{Path: f.dir, Limits: limits, Registry: prometheus.NewRegistry(),
		Logger: slog.New(slog.NewTextHandler(f.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// write exchanges a file as a rename does, so that it is another one whatever the
// clock of the file system says.
func (f *folder) write(name string, text []byte) {
	f.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		f.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		f.Fatal(err)
	}
}

// says is what a module says of a match, or why there is no such module.
func (f *folder) says(name string) string {
	factory, err := f.Find(name)
	if err != nil {
		return err.Error()
	}
	r, err := factory(nil)
	if err != nil {
		return err.Error()
	}
	if err := r.Allows(match(1)); err != nil {
		return err.Error()
	}
	return "allowed"
}

// want checks what the modules say, and the gauge.
func (f *folder) want(name, says string, successful float64) {
	f.Helper()
	if got := f.says(name); !strings.Contains(got, says) {
		f.Errorf("%s says %q, want %q", name, got, says)
	}
	if got := testutil.ToFloat64(f.successful); got != successful {
		f.Errorf("successful is %v, want %v", got, successful)
	}
}

func (f *folder) looks(n int) {
	for range n {
		f.look(f.Context())
	}
}

func TestFolderAtStart(t *testing.T) {
	f := newFolder(t, map[string][]byte{"a.wasm": wasmtest.Allow(), "b.wasm": []byte("text"), "c.txt": wasmtest.Allow()})
	f.want("a.wasm", "allowed", 0)
	f.want("b.wasm", "b.wasm is no WebAssembly module", 0)
	f.want("c.wasm", `the folder of modules (--rule-modules) has no "c.wasm"`, 0)
	f.want("../a.wasm", `"../a.wasm" must be the name of a file, without a folder`, 0)
	if n := strings.Count(f.log.String(), "module not loaded: rule sets that name it are refused"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, f.log)
	}
	if _, err := NewFolder(t.Context(), FolderOptions{Path: filepath.Join(f.dir, "none"), Limits: DefaultLimits,
		Registry: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("a folder that is not there is taken")
	}
}

func TestFolderFollowsFiles(t *testing.T) {
	f := newFolder(t, map[string][]byte{"a.wasm": wasmtest.Refuse("one")})
	f.want("a.wasm", "one", 1)
	version := f.Version()
	f.looks(3)
	if f.Version() != version {
		t.Error("nothing has changed, and the version has")
	}
	f.write("a.wasm", wasmtest.Refuse("two"))
	f.looks(1)
	f.want("a.wasm", "one", 1) // it may still be written
	f.looks(1)
	f.want("a.wasm", "two", 1)
	if f.Version() == version {
		t.Error("the version is that of before")
	}

	f.write("a.wasm", wasmtest.Refuse("three")[:50])
	f.looks(5)
	f.want("a.wasm", "two", 0)
	if n := strings.Count(f.log.String(), "module not loaded: one from before stays in force"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, f.log)
	}
	version = f.Version()
	f.write("a.wasm", wasmtest.Refuse("two"))
	f.looks(2)
	f.want("a.wasm", "two", 1)
	if f.Version() != version {
		t.Error("the module is that of before, and the version is not")
	}

	if err := os.Remove(filepath.Join(f.dir, "a.wasm")); err != nil {
		t.Fatal(err)
	}
	f.looks(5)
	f.want("a.wasm", "two", 0)
	if n := strings.Count(f.log.String(), "is not there any more"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, f.log)
	}
	f.write("a.wasm", wasmtest.Refuse("four"))
	f.write("b.wasm", wasmtest.Refuse("new"))
	f.looks(2)
	f.want("a.wasm", "four", 1)
	f.want("b.wasm", "new", 1)
}

// A file that is other at each look is being written.
func TestFolderWaitsForWholeFiles(t *testing.T) {
	f := newFolder(t, map[string][]byte{"a.wasm": wasmtest.Refuse("old")})
	for i := range 5 {
		f.write("a.wasm", wasmtest.Refuse(strings.Repeat("x", i+1)))
		f.looks(1)
		f.want("a.wasm", "old", 1)
	}
	f.looks(1)
	f.want("a.wasm", "xxxxx", 1)
}

// Kubernetes exchanges the folder behind a symbolic link.
func TestFolderOfConfigMap(t *testing.T) {
	f := newFolder(t, nil)
	link := func(to, name string) {
		t.Helper()
		path := filepath.Join(f.dir, name)
		if err := os.Symlink(to, path+".new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	for _, version := range []string{"..1", "..2"} {
		if err := os.Mkdir(filepath.Join(f.dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		f.write(version+"/a.wasm", wasmtest.Refuse("of "+version))
	}
	link("..1", "..data")
	link("..data/a.wasm", "a.wasm")
	f.looks(2)
	f.want("a.wasm", "of ..1", 1)
	link("..2", "..data")
	f.looks(2)
	f.want("a.wasm", "of ..2", 1)
}

func TestFolderOpensNothingElse(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "out.wasm")
	if err := os.WriteFile(outside, wasmtest.Allow(), 0o600); err != nil {
		t.Fatal(err)
	}
	f := newFolder(t, nil)
	if err := os.Symlink(outside, filepath.Join(f.dir, "a.wasm")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(f.dir, "b.wasm"), 0o700); err != nil {
		t.Fatal(err)
	}
	large, err := os.Create(filepath.Join(f.dir, "c.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	defer large.Close()
	if err := large.Truncate(maxModule + 1); err != nil {
		t.Fatal(err)
	}
	f.looks(2)
	f.want("a.wasm", "a.wasm cannot be read: path escapes from parent", 0)
	f.want("b.wasm", "must be a regular file", 0)
	f.want("c.wasm", "must have at most 16777216 bytes, has 16777217", 0)
	for _, name := range []string{"b.wasm", "c.wasm"} {
		if err := os.Remove(filepath.Join(f.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	f.write("a.wasm", wasmtest.Allow())
	f.looks(2)
	f.want("a.wasm", "allowed", 1) // what never was right and is gone is forgotten
}

func TestFolderRun(t *testing.T) {
	f := newFolder(t, map[string][]byte{"a.wasm": wasmtest.Refuse("one")})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Folder.Run(ctx) }()
	f.write("a.wasm", wasmtest.Refuse("two"))
	eventually.True(t, "the module is in force", func() bool { return f.says("a.wasm") == "two" })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A module that nothing refers to any more gives its memory back.
func TestModuleIsFreed(t *testing.T) {
	instance := func() api.Module {
		m := compile(t, wasmtest.Allow())
		if _, err := m.Factory(nil); err != nil {
			t.Fatal(err)
		}
		defer runtime.KeepAlive(m)
		if m.idle.list[0].module.IsClosed() {
			t.Fatal("it is closed while it is in use")
		}
		return m.idle.list[0].module
	}()
	deadline := time.Now().Add(time.Minute)
	for !instance.IsClosed() && time.Now().Before(deadline) {
		runtime.GC()
		runtime.Gosched()
	}
	if !instance.IsClosed() {
		t.Error("it is not closed")
	}
}

// What is no file that can be read is forgotten when it is gone.
func TestStrangeFiles(t *testing.T) {
	f := newFolder(t, map[string][]byte{"good.wasm": wasmtest.Allow()})
	for name, to := range map[string]string{"esc.wasm": "/etc/passwd", "loop.wasm": "loop.wasm"} {
		if err := os.Symlink(to, filepath.Join(f.dir, name)); err != nil {
			t.Fatal(err)
		}
		f.look(t.Context())
		f.look(t.Context())
		f.want(name, "cannot be read", 0)
		if err := os.Remove(filepath.Join(f.dir, name)); err != nil {
			t.Fatal(err)
		}
		f.look(t.Context())
		f.look(t.Context())
		f.want(name, "has no", 1)
		f.want("good.wasm", "allowed", 1)
	}
}

// A file that could not be read is tried again, also if nothing of it changes.
func TestReadAgain(t *testing.T) {
	f := newFolder(t, map[string][]byte{"x.wasm": wasmtest.Allow()})
	info, err := os.Stat(filepath.Join(f.dir, "x.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	if f.taken["x.wasm"] == nil {
		t.Fatal("it was not read")
	}
	if err := os.Rename(filepath.Join(f.dir, "x.wasm"), filepath.Join(f.dir, "x")); err != nil {
		t.Fatal(err)
	}
	f.taken["x.wasm"] = info
	f.read(t.Context(), "x.wasm")
	if f.taken["x.wasm"] != nil {
		t.Error("a file that could not be read counts as read")
	}
}

// A module that could not be looked at for a while, and is as before, is in force as before.
func TestBackAsBefore(t *testing.T) {
	f := newFolder(t, map[string][]byte{"a.wasm": wasmtest.Refuse("one")})
	path := filepath.Join(f.dir, "a.wasm")
	err := errors.Join(os.Rename(path, path+".aside"), os.Symlink("/etc/passwd", path))
	f.looks(3)
	f.want("a.wasm", "one", 0)
	if err := errors.Join(err, os.Remove(path), os.Rename(path+".aside", path)); err != nil {
		t.Fatal(err)
	}
	f.looks(3)
	f.want("a.wasm", "one", 1)
}
