package requirements

import (
	"os"
	"path/filepath"
	"testing"
)

// TestLacking: all that is lacking is said at once, each package once.
func TestLacking(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	if err := os.WriteFile(filepath.Join(dir, "here"), []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	one := List{Programs: []Program{{Name: "a", Package: "of-a"}, {Name: "here", Package: "of-here"}, {Name: "b", Package: "tools"}}}
	two := List{Programs: []Program{{Name: "b", Package: "tools"}, {Name: "c", Package: "more tools"}, {Name: "other", Package: "x", Others: []string{"here"}}}}
	want := "this machine lacks a, b, c; on Debian: apt-get install --no-install-recommends more of-a tools"
	if err := Join(one, two).Lacking(); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if err := (List{Programs: []Program{{Name: "here", Package: "of-here"}}}).Lacking(); err != nil {
		t.Error(err)
	}
}
