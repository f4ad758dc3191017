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

// ensure makes what dir lacks by make, which is given the program and the file
// to write. Each program appears as a whole or not at all, and of several
// processes one makes it. A process that needs one of the first does not wait
// for the last.
func ensure(ctx context.Context, dir string, programs []string, log io.Writer, make func(program, file string) error) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, p := range programs {
		if len(missing(dir, []string{p})) == 0 {
			continue
		}
		if err := ensureOne(ctx, dir, p, log, make); err != nil {
			return err
		}
	}
	return nil
}

func ensureOne(ctx context.Context, dir, program string, log io.Writer, make func(program, file string) error) error {
	unlock, err := lock(ctx, dir+".lock", log)
	if err != nil {
		return err
	}
	defer unlock()
	if len(missing(dir, []string{program})) == 0 {
		return nil
	}
	// The lock is ours: what stands there is of one that was killed.
	file := filepath.Join(dir, "."+program)
	if err := os.RemoveAll(file); err != nil {
		return err
	}
	if err := make(program, file); err != nil {
		return errors.Join(err, os.RemoveAll(file))
	}
	return os.Rename(file, filepath.Join(dir, program))
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

// build builds a program into a file.
func (m Module) build(ctx context.Context, source, version, program, file string, log io.Writer) error {
	start := time.Now()
	fmt.Fprintf(log, "building %s of %s %s, once …\n", program, m.Name, version)
	cmd := goCommand(ctx, source, log, "build", "-trimpath", "-ldflags", m.ldflags(version), "-o", file, m.paths[program])
	cmd.Stdout = log
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build %s: %w", program, err)
	}
	fmt.Fprintf(log, "  %s: %s\n", program, time.Since(start).Round(time.Second))
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
