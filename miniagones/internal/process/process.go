// Package process is the backend of miniagones that makes real dedicated
// servers: each a child process with a UDP port of its own. On the player's
// path these are what players connect to.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"torikumi/miniagones/internal/fleet"
)

// Options say which program to run. One of Command and Args has to be set.
type Options struct {
	// Command is a line for the shell, as a user would type it. It should be
	// one program: of a pipeline only the group is ended with the fleet's
	// process, not each part when that is killed.
	Command string
	// Args are a program and its arguments.
	Args []string
	// Env is the environment beside what the fleet sets; nil: our own.
	Env []string
	// Address is the IP address that players reach the servers at, and at which
	// UDP ports are taken; 127.0.0.1 when empty.
	Address string
	// Output gets what the programs write, line by line, each with the name of
	// its server before it. Nil: nobody does. Write is called by one goroutine
	// at a time, and holds up the programs if it is slow.
	Output io.Writer
	// LineLimit is the longest line in bytes that is passed on, the rest of it
	// is dropped; 4096 when zero.
	LineLimit int
}

// tailLines is how many lines of output a failure shows.
const tailLines = 20

// Backend starts processes. Make it with New.
type Backend struct {
	opts Options
	args []string
	out  *sharedWriter

	mu sync.Mutex
	// ports are those of our servers, with the socket that holds them until the
	// program starts.
	ports  map[int32]*net.UDPConn
	forker *forker
	closed bool
}

// New checks the options. The program itself is looked for at each start, so
// that it may be built while the fleet runs.
func New(opts Options) (*Backend, error) {
	var errs []error
	if (opts.Command == "") == (len(opts.Args) == 0) {
		errs = append(errs, errors.New("Command, Args: exactly one of them must be set"))
	}
	if opts.Address == "" {
		opts.Address = "127.0.0.1"
	}
	if net.ParseIP(opts.Address) == nil {
		errs = append(errs, fmt.Errorf("Address %q: must be an IP address", opts.Address))
	}
	if opts.LineLimit < 0 {
		errs = append(errs, errors.New("LineLimit: must not be negative"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("game server process: %w", err)
	}
	if opts.LineLimit == 0 {
		opts.LineLimit = 4096
	}
	b := &Backend{opts: opts, args: opts.Args, ports: make(map[int32]*net.UDPConn)}
	if opts.Command != "" {
		b.args = shell(opts.Command)
	}
	if opts.Output != nil {
		b.out = &sharedWriter{w: opts.Output}
	}
	return b, nil
}

// Silent is false: the processes speak the SDK.
func (b *Backend) Silent() bool { return false }

// Place takes a free UDP port and holds it until the program is about to start,
// as the program has to bind it itself. In the moment between, somebody else
// can take it; then the game server fails and is replaced on another port.
func (b *Backend) Place(context.Context, fleet.Spec) (fleet.Place, error) {
	port, err := b.takePort()
	if err != nil {
		return fleet.Place{}, err
	}
	return fleet.Place{
		Address:  b.opts.Address,
		NodeName: "local",
		Ports:    []fleet.Port{{Name: "default", Port: port}},
		Release: func() {
			b.letGo(port)
			b.mu.Lock()
			delete(b.ports, port)
			b.mu.Unlock()
		},
	}, nil
}

// takePort asks the system for a port until it names one that none of our
// servers has: one whose program has just started may not be bound yet.
func (b *Backend) takePort() (int32, error) {
	for range 1000 {
		conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(b.opts.Address)})
		if err != nil {
			return 0, fmt.Errorf("bind a UDP port on %s: %w", b.opts.Address, err)
		}
		addr, ok := conn.LocalAddr().(*net.UDPAddr)
		if !ok {
			_ = conn.Close()
			return 0, fmt.Errorf("bound %v, which is not a UDP address", conn.LocalAddr())
		}
		port := int32(addr.Port)
		b.mu.Lock()
		_, taken := b.ports[port]
		if !taken {
			b.ports[port] = conn
		}
		b.mu.Unlock()
		if !taken {
			return port, nil
		}
		_ = conn.Close()
	}
	return 0, fmt.Errorf("no free UDP port on %s", b.opts.Address)
}

// letGo makes a port free for the program that it was taken for. The port
// stays that server's.
func (b *Backend) letGo(port int32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if conn := b.ports[port]; conn != nil {
		// Nothing was ever sent or received on it that could be lost.
		_ = conn.Close()
		b.ports[port] = nil
	}
}

// Start runs the program.
func (b *Backend) Start(ctx context.Context, spec fleet.Spec) (fleet.Instance, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("start %q: %w", b.args[0], err)
	}
	out := newLines("["+spec.Name+"] ", b.out, b.opts.LineLimit)
	cmd := exec.Command(b.args[0], b.args[1:]...)
	base := b.opts.Env
	if base == nil {
		base = os.Environ()
	}
	cmd.Env = slices.Concat(base, spec.Env)
	cmd.Stdout, cmd.Stderr = out, out
	// Who has inherited the pipe and left the group must not hold up the end.
	cmd.WaitDelay = 2 * time.Second
	isolate(cmd)

	for _, port := range spec.Place.Ports {
		b.letGo(port.Port)
	}
	p := &child{cmd: cmd, out: out, done: make(chan struct{})}
	if err := b.fork(cmd); err != nil {
		return nil, fmt.Errorf("start %q: %w", strings.Join(b.args, " "), err)
	}
	go p.wait()
	return p, nil
}

// fork starts cmd on the one thread whose end the children don't survive.
func (b *Backend) fork(cmd *exec.Cmd) error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return errors.New("the backend is closed")
	}
	if b.forker == nil {
		b.forker = newForker()
	}
	f := b.forker
	b.mu.Unlock()
	return f.start(cmd)
}

// Close ends the thread that starts processes. No instance may be left.
func (b *Backend) Close() error {
	b.mu.Lock()
	f := b.forker
	b.forker, b.closed = nil, true
	b.mu.Unlock()
	if f != nil {
		f.close()
	}
	return nil
}
