package loadgen

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

const (
	// upTimeout is how long "torikumi up" may take to serve.
	upTimeout = 2 * time.Minute
	// stopTimeout is how long it may take to stop before it is killed.
	stopTimeout = 20 * time.Second
)

// freePorts are the settings of "torikumi up" that keep it out of the way of
// another one; what the user says comes after them.
var freePorts = []string{"--host=127.0.0.1", "--http-port=0", "--grpc-port=0", "--issuer-port=0", "--open-match-ports=false"}

// child is a "torikumi up" of our own.
type child struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended, err is set by then
	err  error

	openMatch, frontend, frontendGRPC, issuer string
}

// startChild returns when the child serves.
func startChild(ctx context.Context, env Env, args string) (*child, error) {
	if len(env.UpCommand) == 0 {
		return nil, errors.New("--up works with \"torikumi load\" alone")
	}
	cmd := exec.Command(env.UpCommand[0], append(append(env.UpCommand[1:len(env.UpCommand):len(env.UpCommand)], freePorts...), strings.Fields(args)...)...)
	bind(cmd)
	cmd.Stderr = env.UpOutput
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout = in
	c := &child{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The kernel ends the child with the thread that has started it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(c.done)
		err := cmd.Start()
		in.Close() // the child has its own
		started <- err
		if err == nil {
			c.err = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		out.Close()
		return nil, err
	}
	if err := c.serving(ctx, out); err != nil {
		return nil, errors.Join(err, c.stop())
	}
	return c, nil
}

// serving waits for the addresses that the child prints.
func (c *child) serving(ctx context.Context, out io.ReadCloser) error {
	found := make(chan error, 1)
	go func() {
		defer out.Close()
		lines := bufio.NewReader(out)
		found <- c.readAddresses(lines)
		_, _ = io.Copy(io.Discard, lines) // until the child closes it
	}()
	limit, cancel := context.WithTimeoutCause(ctx, upTimeout, fmt.Errorf("it does not serve after %s", upTimeout))
	defer cancel()
	select {
	case err := <-found:
		return err
	case <-limit.Done():
		return context.Cause(limit)
	}
}

// readAddresses takes them out of what "torikumi up" announces.
func (c *child) readAddresses(lines *bufio.Reader) error {
	rows := []struct {
		label string
		to    *string
	}{
		{"player API, HTTP ", &c.frontend}, {"player API, gRPC ", &c.frontendGRPC},
		{"development issuer ", &c.issuer}, {"Open Match's API ", &c.openMatch},
	}
	for missing := len(rows); missing > 0; {
		line, err := lines.ReadString('\n')
		if err != nil {
			return errors.New("it ended before it served")
		}
		for _, row := range rows {
			value, ok := strings.CutPrefix(strings.TrimSpace(line), row.label)
			if fields := strings.Fields(value); ok && len(fields) > 0 && *row.to == "" {
				*row.to = fields[0]
				missing--
			}
		}
	}
	return nil
}

// pid is the process's number; that of no process if there is no child.
func (c *child) pid() int {
	if c == nil {
		return -1
	}
	return c.cmd.Process.Pid
}

// ended reports whether the child is there no more.
func (c *child) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// stop asks the child to end, kills it if it does not, and returns how it
// ended.
func (c *child) stop() error {
	if err := c.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		_ = c.cmd.Process.Kill() // a system without signals
	}
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-c.done:
		return c.err
	case <-timer.C:
		_ = c.cmd.Process.Kill() // it may have ended just now
		<-c.done
		return fmt.Errorf("it did not stop within %s and was killed", stopTimeout)
	}
}
