package suite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// dirPattern names the directories of suites: private keys and journals.
const dirPattern = "torikumi-suite-"

// openDir makes a directory for a suite, and removes those of suites that were killed
// before they could: their private keys must not stay behind. release removes it.
func openDir() (dir string, release func() error, err error) {
	removeAbandoned(os.TempDir())
	dir, err = os.MkdirTemp("", dirPattern)
	if err != nil {
		return "", nil, fmt.Errorf("make a directory for keys: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("lock the directory for keys: %w", err), os.RemoveAll(dir))
	}
	return dir, func() error {
		err := os.RemoveAll(dir)
		if lock != nil {
			err = errors.Join(err, lock.Close())
		}
		return err
	}, nil
}

// allocatorFile tells others of this machine's user where to attach game servers.
const allocatorFile = "allocator"

func writeAllocator(dir, addr string) error {
	if err := os.WriteFile(filepath.Join(dir, allocatorFile), []byte(addr), 0o600); err != nil {
		return fmt.Errorf("write the allocator's address: %w", err)
	}
	return nil
}

// Allocators returns the addresses of the allocators of all suites of this user that run,
// where the system has locks that tell.
func Allocators() []string {
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), dirPattern+"*"))
	if err != nil {
		return nil
	}
	var all []string
	for _, dir := range dirs {
		if !inUse(dir) {
			continue
		}
		if addr, err := os.ReadFile(filepath.Join(dir, allocatorFile)); err == nil {
			all = append(all, string(addr))
		}
	}
	return all
}

// removeAbandoned removes the directories whose suites are gone. What cannot be removed,
// somebody else may have.
func removeAbandoned(in string) {
	dirs, err := filepath.Glob(filepath.Join(in, dirPattern+"*"))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		if abandoned(dir) {
			_ = os.RemoveAll(dir)
		}
	}
}
