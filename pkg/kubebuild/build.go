package kubebuild

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// ensure makes what dir lacks by make, which is given a folder to fill. Each
// program appears as a whole or not at all, and of several processes one makes
// it.
func ensure(ctx context.Context, dir string, programs []string, log io.Writer, make func(lacking []string, into string) error) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	unlock, err := lock(ctx, dir+".lock", log)
	if err != nil {
		return err
	}
	defer unlock()
	lacking := missing(dir, programs)
	if len(lacking) == 0 {
		return nil
	}
	// The lock is ours: what stands there is of one that was killed.
	into := dir + ".building"
	if err := errors.Join(os.RemoveAll(into), os.Mkdir(into, 0o755)); err != nil {
		return err
	}
	err = make(lacking, into)
	// What was built before something failed is good.
	for _, p := range lacking {
		if len(missing(into, []string{p})) == 0 {
			err = errors.Join(err, os.Rename(filepath.Join(into, p), filepath.Join(dir, p)))
		}
	}
	return errors.Join(err, os.RemoveAll(into))
}

// lock waits for the file's lock. The kernel releases it if the process dies.
func lock(ctx context.Context, name string, log io.Writer) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for said := false; ; said = true {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", name, err)
		}
		if !said {
			fmt.Fprintln(log, "waiting for another process that builds the same …")
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
}

// build builds programs into a folder, one after another: linking takes much
// memory.
func (m Module) build(ctx context.Context, source string, programs []string, into string, log io.Writer) error {
	version, err := m.version(ctx, source, log)
	if err != nil {
		return err
	}
	fmt.Fprintf(log, "building %s %s (%s) once; all of Kubernetes takes up to 13 minutes on 2 idle cores …\n",
		m.Name, version, strings.Join(programs, ", "))
	for _, p := range programs {
		start := time.Now()
		// A link that was killed leaves a part of a file.
		part := filepath.Join(into, "."+p)
		cmd := goCommand(ctx, source, log, "build", "-trimpath", "-ldflags", m.ldflags(version), "-o", part, m.paths[p])
		cmd.Stdout = log
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("build %s: %w", p, err)
		}
		if err := os.Rename(part, filepath.Join(into, p)); err != nil {
			return err
		}
		fmt.Fprintf(log, "  %s: %s\n", p, time.Since(start).Round(time.Second))
	}
	return nil
}

func goCommand(ctx context.Context, dir string, log io.Writer, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(cmd.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	cmd.Stderr = log
	return cmd
}

// ldflags lets the programs say their version, which clients ask for.
func (m Module) ldflags(version string) string {
	flags := []string{"-s", "-w"}
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	for _, pkg := range m.stamped {
		flags = append(flags, "-X", pkg+".gitVersion="+version,
			"-X", pkg+".gitMajor="+parts[0], "-X", pkg+".gitMinor="+parts[1])
	}
	return strings.Join(flags, " ")
}
