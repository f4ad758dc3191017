package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is one that was started, so that no other is taken for it.
type process struct {
	PID int `json:"pid"`
	// Started is the time of its start in the kernel's ticks since the boot.
	Started string `json:"started"`
	// Boot is the id of that boot.
	Boot string `json:"boot"`
}

// identify reads what tells a process from others that get its id later.
func identify(pid int) (process, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return process{}, err
	}
	started, _, err := processStat(pid)
	return process{pid, started, strings.TrimSpace(string(boot))}, err
}

// processStat returns a process's start and its state, such as "Z".
func processStat(pid int) (started, state string, err error) {
	content, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return "", "", err
	}
	// The name stands in parentheses, and may have some itself.
	fields := strings.Fields(string(content[bytes.LastIndexByte(content, ')')+1:]))
	if len(fields) < 20 {
		return "", "", fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	return fields[19], fields[0], nil
}

// alive reports whether it still runs.
func (p process) alive() bool {
	now, err := identify(p.PID)
	if err != nil || now != p {
		return false
	}
	_, state, err := processStat(p.PID)
	return err == nil && state != "Z" && state != "X"
}

// kill kills it, if it is still there, and waits for its end: with it all
// processes of its PID namespace have ended.
func (p process) kill(ctx context.Context) error {
	if p.PID == 0 || !p.alive() {
		return nil
	}
	if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill process %d: %w", p.PID, err)
	}
	return wait(ctx, 10*time.Millisecond, func() error {
		if p.alive() {
			return fmt.Errorf("process %d does not end", p.PID)
		}
		return nil
	})
}

// wait polls a condition.
func wait(ctx context.Context, every time.Duration, condition func() error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		err := condition()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-tick.C:
		}
	}
}

// run runs a command and returns its output. The error has what it said.
func run(ctx context.Context, name string, args ...string) (string, error) {
	return output(exec.CommandContext(ctx, name, args...))
}

func output(cmd *exec.Cmd) (string, error) {
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(errs.String()))
	}
	return out.String(), nil
}
