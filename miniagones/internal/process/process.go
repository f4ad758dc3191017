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
	// Command is a line for the shell, as a user would type it. Its last command
	// should be the program: of a pipeline, or of a script that does not exec, only
	// the group is ended with the fleet's process, not each part when that is killed.
	Command string
	// Args are a program and its arguments.
	Args []string
	// Env is the environment beside what the fleet sets; nil: our own.
	Env []string
	// Address is the IP address that players reach the servers at, and at which
	// ports are taken; 127.0.0.1 when empty.
	Address string
	// Protocol of the port: UDP, TCP, or TCPUDP for both under one number; UDP when
	// empty.
	Protocol string
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
	// ports are those of our servers, with the sockets that hold them until the
	// program starts.
	ports  map[int32][]io.Closer
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
	if opts.Protocol == "" {
		opts.Protocol = "UDP"
	}
	if !slices.Contains([]string{"UDP", "TCP", "TCPUDP"}, opts.Protocol) {
		errs = append(errs, fmt.Errorf("Protocol %q: must be UDP, TCP or TCPUDP", opts.Protocol))
	}
	args := opts.Args
	if opts.Command != "" {
		var err error
		if args, err = shell(opts.Command); err != nil {
			errs = append(errs, fmt.Errorf("Command %q: %w", opts.Command, err))
		}
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
	b := &Backend{opts: opts, args: args, ports: make(map[int32][]io.Closer)}
	if opts.Output != nil {
		b.out = &sharedWriter{w: opts.Output}
	}
	return b, nil
}

// Silent is false: the processes speak the SDK.
func (b *Backend) Silent() bool { return false }

// Place takes a free port and holds it until the program is about to start,
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
		port, holders, err := b.hold()
		if errors.Is(err, errHalf) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("bind a port on %s: %w", b.opts.Address, err)
		}
		b.mu.Lock()
		_, taken := b.ports[port]
		if !taken {
			b.ports[port] = holders
		}
		b.mu.Unlock()
		if !taken {
			return port, nil
		}
		closeAll(holders)
	}
	return 0, fmt.Errorf("no free port on %s", b.opts.Address)
}

// errHalf says that a port is free for one protocol of two.
var errHalf = errors.New("the port is taken")

// hold binds one free port, for TCP and UDP under the same number if both are wanted.
func (b *Backend) hold() (int32, []io.Closer, error) {
	ip, port := net.ParseIP(b.opts.Address), 0
	var holders []io.Closer
	if b.opts.Protocol != "TCP" {
		conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: ip})
		if err != nil {
			return 0, nil, err
		}
		holders = append(holders, conn)
		if addr, ok := conn.LocalAddr().(*net.UDPAddr); ok {
			port = addr.Port
		}
	}
	if b.opts.Protocol != "UDP" {
		listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: ip, Port: port})
		if err != nil {
			closeAll(holders)
			if port != 0 {
				return 0, nil, errHalf
			}
			return 0, nil, err
		}
		holders = append(holders, listener)
		if addr, ok := listener.Addr().(*net.TCPAddr); ok {
			port = addr.Port
		}
	}
	return int32(port), holders, nil
}

// closeAll closes sockets on which nothing was ever sent or received that could be lost.
func closeAll(holders []io.Closer) {
	for _, h := range holders {
		_ = h.Close()
	}
}

// letGo makes a port free for the program that it was taken for. The port
// stays that server's.
func (b *Backend) letGo(port int32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if holders := b.ports[port]; holders != nil {
		closeAll(holders)
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
	p := &child{cmd: cmd, out: out, done: make(chan struct{}), over: make(chan struct{})}
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
