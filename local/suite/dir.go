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
