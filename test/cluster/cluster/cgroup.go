package cluster

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const cgroups = "/sys/fs/cgroup"

// hierarchies are where the kernel's cgroups are mounted. unified is true if
// it is cgroup v2 alone.
func hierarchies() (mounts []string, unified bool, err error) {
	content, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, false, err
	}
	for line := range strings.Lines(string(content)) {
		before, after, ok := strings.Cut(line, " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(kind) == 0 || (kind[0] != "cgroup" && kind[0] != "cgroup2") {
			continue
		}
		mounts = append(mounts, fields[4])
		unified = unified || kind[0] == "cgroup2" && fields[4] == cgroups
	}
	if len(mounts) == 0 {
		return nil, false, errors.New("no cgroups are mounted in " + cgroups)
	}
	return mounts, unified, nil
}

// makeCgroups makes the cgroup that a node's pods are in.
func (s *state) makeCgroups(name string) error {
	mounts, _, err := hierarchies()
	if err != nil {
		return err
	}
	for _, mount := range mounts {
		parent := mount
		for _, part := range []string{s.cgroup(), name} {
			dir := filepath.Join(parent, part)
			if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
			if err := inherit(parent, dir); err != nil {
				return err
			}
			parent = dir
		}
	}
	return nil
}

// inherit gives a cgroup what it does not have of its own accord: the
// processors and memory of its parent in v1, the controllers in v2.
func inherit(parent, dir string) error {
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		content, err := os.ReadFile(filepath.Join(parent, file))
		if err != nil || strings.TrimSpace(string(content)) == "" {
			continue // another hierarchy, or v2, where empty is all
		}
		if err := os.WriteFile(filepath.Join(dir, file), content, 0o644); err != nil {
			return err
		}
	}
	controllers, err := os.ReadFile(filepath.Join(parent, "cgroup.controllers"))
	if err != nil {
		return nil // v1
	}
	for _, controller := range strings.Fields(string(controllers)) {
		err := os.WriteFile(filepath.Join(parent, "cgroup.subtree_control"), []byte("+"+controller), 0o644)
		if err != nil && slices.Contains([]string{"cpu", "memory", "pids", "cpuset"}, controller) {
			return err
		}
	}
	return nil
}

// removeCgroups removes a cgroup of the cluster, and all below. What was in
// them has ended.
func removeCgroups(ctx context.Context, path string) error {
	mounts, _, err := hierarchies()
	if err != nil {
		return err
	}
	var errs []error
	for _, mount := range mounts {
		errs = append(errs, wait(ctx, 20*time.Millisecond, func() error { return removeTree(filepath.Join(mount, path)) }))
	}
	return errors.Join(errs...)
}

// removeTree removes folders only: the files of a cgroup go with it.
func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := syscall.Rmdir(dir); err != nil && !errors.Is(err, syscall.ENOENT) {
		return &fs.PathError{Op: "rmdir", Path: dir, Err: err}
	}
	return nil
}
