package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	"torikumi/test/cluster/internal/machine"
)

// systemPath is the PATH on machines, behind the folder with our programs.
const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// startMachine starts the first process of a machine in namespaces of its own,
// records it, lets the caller wire it up, and lets it go on.
func (c *Cluster) startMachine(ctx context.Context, name string, spec machine.Spec, flags uintptr, wire func(pid int) error) error {
	dir := c.path("machines", name)
	spec.Log = filepath.Join(dir, "log")
	if err := os.MkdirAll(spec.Log, 0o700); err != nil {
		return err
	}
	content, err := json.MarshalIndent(spec, "", "  ")
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "machine.json")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(spec.Log, "machine.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(c.path("bin", "torikumi-node"), file)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + systemPath}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true,
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | flags,
	}
	// It ends by itself if this process ends before it is recorded.
	gate, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	defer gate.Close()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start machine %s: %w", name, err)
	}
	go func() { _ = cmd.Wait() }() // how it ends is in its log
	started, err := identify(cmd.Process.Pid)
	if err != nil {
		return err
	}
	if err := c.change(func(s *state) { s.Machines[name] = started }); err != nil {
		return err
	}
	if err := wire(cmd.Process.Pid); err != nil {
		return err
	}
	_, err = gate.Write([]byte{1})
	return err
}

// machine returns the first process of a machine, which has to run.
func (c *Cluster) machine(name string) (process, error) {
	c.mu.Lock()
	p := c.state.Machines[name]
	c.mu.Unlock()
	if !p.alive() {
		return p, fmt.Errorf("%s does not run; its logs are in %s", name, c.path("machines", name, "log"))
	}
	return p, nil
}

// Command is a command that runs on a node, as one that is typed there.
func (c *Cluster) Command(ctx context.Context, name string, args ...string) (*exec.Cmd, error) {
	p, err := c.machine(name)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{
		"--target", strconv.Itoa(p.PID), "--mount", "--uts", "--net", "--pid", "--root", "--wd=/", "--"}, args...)...)
	cmd.Env = []string{"PATH=" + nodePrograms + ":" + systemPath, "HOME=/root"}
	return cmd, nil
}

// on runs a command on a node and returns its output.
func (c *Cluster) on(ctx context.Context, name string, args ...string) (string, error) {
	cmd, err := c.Command(ctx, name, args...)
	if err != nil {
		return "", err
	}
	return output(cmd)
}
