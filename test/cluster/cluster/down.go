package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// contents are what a cluster's folder may have, in the order in which it is
// removed: the state is last, as it tells what else there is to remove.
var contents = []string{"bin", "conf", "etcd", "images", "kubeconfig", "machines", "pki", "registry", stateFile}

// unfinished are files of atomicfile whose writer was killed.
const unfinished = ".new-"

// emptyFolder reports files in the folder that are not a cluster's.
func emptyFolder(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != lockFile && !strings.HasPrefix(e.Name(), unfinished) && !slices.Contains(contents, e.Name()) {
			return fmt.Errorf("the state folder %s has other files, such as %s: name one of the cluster's own", folder, e.Name())
		}
	}
	return nil
}

// Down ends the cluster in a state folder and removes all that it has made. It
// finds what a crash has left, too. If there is no cluster, that is no error.
func Down(ctx context.Context, folder string) error {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return err
	}
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	unlock, err := lockFolder(ctx, folder)
	if err != nil {
		return err
	}
	defer unlock()
	s, err := readState(folder)
	if errors.Is(err, fs.ErrNotExist) {
		// A crash may have come before there was anything to remember.
		return removeFiles(folder)
	}
	if err != nil {
		return err
	}
	return remove(ctx, folder, s)
}

// Down ends the cluster and removes all that it has made.
func (c *Cluster) Down(ctx context.Context) error { return Down(ctx, c.Folder) }

// remove ends and removes everything of a cluster.
func remove(ctx context.Context, folder string, s *state) error {
	var g errgroup.Group
	for name, p := range s.Machines {
		g.Go(func() error {
			if err := p.kill(ctx); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	// With index -1 nothing was made. After a reboot, and when somebody has removed
	// the bridge, its name may be another cluster's.
	if s.Index >= 0 && s.owned(folder) {
		err := errors.Join(s.removeNetwork(ctx), removeCgroups(ctx, s.cgroup()))
		if err != nil {
			return err
		}
	}
	return removeFiles(folder)
}

// removeFiles removes what clusters have in their folders, and the folder if
// nothing else is in it.
func removeFiles(folder string) error {
	if err := emptyFolder(folder); err != nil {
		return err
	}
	halves, err := filepath.Glob(filepath.Join(folder, unfinished+"*"))
	if err != nil {
		return err
	}
	for _, name := range append(slices.Clone(contents), lockFile) {
		halves = append(halves, filepath.Join(folder, name))
	}
	for _, path := range halves {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return os.Remove(folder)
}
