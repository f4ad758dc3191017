//go:build unix

package test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"torikumi/local/suite"
	"torikumi/pkg/porttest"
	"torikumi/pkg/service"
)

// stopLimit is how long a service may take to end after SIGTERM.
const stopLimit = 30 * time.Second

// launcher runs each service as a process of its own.
type launcher struct {
	// extra are arguments by service, after those of the suite.
	extra map[string][]string
	// t holds the ports of services that are to come back; nil: none comes.
	t *testing.T
	// started is called with each new process; may be nil.
	started func(*process)

	mu   sync.Mutex
	args map[string][]string
	all  []*process
}

// Launch implements suite.Launcher.
func (l *launcher) Launch(ctx context.Context, name string, args []string) (suite.Instance, error) {
	l.mu.Lock()
	args = append(slices.Clone(args), l.extra[name]...)
	if l.args == nil {
		l.args = make(map[string][]string)
	}
	l.args[name] = slices.Clone(args)
	l.mu.Unlock()
	for i, arg := range args {
		if flag, ok := strings.CutSuffix(arg, "=127.0.0.1:0"); ok && l.t != nil {
			args[i] = flag + "=" + porttest.Hold(l.t).String()
		}
	}
	p, err := run(ctx, name, args)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.all = append(l.all, p)
	l.mu.Unlock()
	if l.started != nil {
		l.started(p)
	}
	return p, nil
}

// add sets arguments for the next start of a service.
func (l *launcher) add(name string, args ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	extra := maps.Clone(l.extra)
	if extra == nil {
		extra = make(map[string][]string)
	}
	extra[name] = append(slices.Clone(extra[name]), args...)
	l.extra = extra
}

// processes are all that were ever started.
func (l *launcher) processes() []*process {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

// How a process is to end: not at all, by SIGTERM, by SIGKILL, and by SIGKILL
// because SIGTERM did not help.
const (
	never int32 = iota
	terminated
	killed
	overdue
)

// process is one running service.
type process struct {
	name  string
	cmd   *exec.Cmd
	addrs service.Addrs
	end   atomic.Int32 // how it is to end
	out   *output
	done  chan struct{}
	err   error
}

// output keeps the end of what a process prints, to show when it fails.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.buf.Len() > 8<<20 {
		o.buf.Next(o.buf.Len() / 2)
	}
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// command makes a service's command line, with none of our own settings in its
// environment.
func command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(program(name), args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir()}
	return cmd
}

// run starts a service and waits for the line that tells its addresses.
func run(ctx context.Context, name string, args []string) (*process, error) {
	return follow(ctx, name, command(name, args...))
}

// follow starts the command and waits for the line that tells its addresses.
func follow(ctx context.Context, name string, cmd *exec.Cmd) (*process, error) {
	p := &process{name: name, cmd: cmd, out: new(output), done: make(chan struct{})}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = p.out
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	listening := make(chan service.Addrs, 1)
	go func() {
		defer close(p.done)
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if a, ok := parseListening(lines.Text(), name); ok {
				select {
				case listening <- a:
				default:
				}
			}
		}
		_, _ = io.Copy(p.out, stdout) // what a too long line has left
		p.err = p.judge(cmd.Wait())
	}()
	select {
	case p.addrs = <-listening:
		return p, nil
	case <-p.done:
		return nil, errors.Join(errors.New("ended before it listened"), p.err)
	case <-ctx.Done():
		p.kill()
		return nil, ctx.Err()
	}
}

// parseListening reads "listening service=NAME grpc=ADDRS http=ADDR", where either address may be left out.
func parseListening(line, name string) (service.Addrs, bool) {
	words := strings.Fields(line)
	if len(words) == 0 || words[0] != "listening" {
		return service.Addrs{}, false
	}
	values := make(map[string]string)
	for _, w := range words[1:] {
		k, v, _ := strings.Cut(w, "=")
		values[k] = v
	}
	if values["service"] != name {
		return service.Addrs{}, false
	}
	a := service.Addrs{HTTP: values["http"]}
	if values["grpc"] != "" {
		a.GRPCAll = strings.Split(values["grpc"], ",")
		a.GRPC = a.GRPCAll[0]
	}
	return a, true
}

func (p *process) Addrs() service.Addrs  { return p.addrs }
func (p *process) Done() <-chan struct{} { return p.done }

// Err tells why the process ended, unless it was told to.
func (p *process) Err() error { return p.err }

// judge returns an error if the process has not ended as it should.
func (p *process) judge(err error) error {
	switch p.end.Load() {
	case killed:
		return nil
	case overdue:
		return fmt.Errorf("%s was still running %v after SIGTERM: %s", p.name, stopLimit, p.out)
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %s", p.name, err, p.out)
	}
	return nil
}

// Stop ends the process as a supervisor does; Err then returns an error if it did
// not end with exit code 0 within stopLimit.
func (p *process) Stop() {
	p.end.CompareAndSwap(never, terminated)
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	limit := time.NewTimer(stopLimit)
	defer limit.Stop()
	select {
	case <-p.done:
	case <-limit.C:
		p.end.Store(overdue)
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.done
	}
}

// kill ends the process without a warning (SIGKILL).
func (p *process) kill() {
	p.end.Store(killed)
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}
