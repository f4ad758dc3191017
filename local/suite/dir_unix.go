//go:build unix

package suite

import (
	"os"
	"path/filepath"
	"syscall"
)

// lockDir marks a directory as one in use for as long as this process lives. The mark is
// locked before it gets its name, so that nobody finds it without.
func lockDir(dir string) (*os.File, error) {
	name := filepath.Join(dir, "lock")
	f, err := os.OpenFile(name+".new", os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
		err = os.Rename(name+".new", name)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// abandoned reports whether a directory is ours and has a mark that nobody holds.
func abandoned(dir string) bool {
	ours, held := mark(dir)
	return ours && !held
}

// inUse reports whether a directory is ours and has a mark that somebody holds.
func inUse(dir string) bool {
	ours, held := mark(dir)
	return ours && held
}

// mark reports whether a directory is this user's and has a mark, and whether that is held.
func mark(dir string) (ours, held bool) {
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() {
		return false, false
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || int(stat.Uid) != os.Getuid() {
		return false, false
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return false, false
	}
	defer f.Close()
	return true, syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil
}
