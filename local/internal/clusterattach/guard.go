package clusterattach

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"torikumi/miniagones/kubernetes/attach"
	"torikumi/pkg/rpc"
	"torikumi/pkg/service"
)

// guardEnv makes the program the guard of another one, which writes to its standard
// input: the value is the access to the cluster, as JSON.
const guardEnv = "TORIKUMI_ATTACH_GUARD"

// guardAccess is what a guard needs to reach the cluster.
type guardAccess struct{ Kubeconfig, Context string }

// guards has a guard run, the process that detaches the server if this one is killed, and
// another one when that ends unasked. What is written to it the guard reads.
type guards struct {
	access string
	stderr io.Writer
	log    *slog.Logger
	cancel context.CancelFunc
	ended  chan error // of the last one, asked to end

	mu     sync.Mutex
	in     io.WriteCloser
	last   []byte
	ending bool
}

// startGuards starts the first guard.
func startGuards(cfg *Config, cluster *attach.Cluster, p service.Process, log *slog.Logger) (*guards, error) {
	file, err := filepath.Abs(cfg.Kubeconfig)
	if err != nil {
		return nil, err
	}
	access, err := json.Marshal(guardAccess{Kubeconfig: file, Context: cluster.Context})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	g := &guards{access: string(access), stderr: p.Stderr, log: log, cancel: cancel, ended: make(chan error, 1)}
	cmd, err := g.start()
	if err != nil {
		cancel()
		return nil, err
	}
	go func() { g.ended <- g.follow(ctx, cmd) }()
	return g, nil
}

// start starts a guard, and tells it what there is to guard.
func (g *guards) start() (*exec.Cmd, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), guardEnv+"="+g.access)
	cmd.Stderr, cmd.SysProcAttr = g.stderr, ownGroup()
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	g.in = in
	_, _ = in.Write(g.last) // if it has ended already, the next one is told
	if g.ending {
		_ = in.Close()
	}
	return cmd, nil
}

// follow returns how the last guard has ended.
func (g *guards) follow(ctx context.Context, cmd *exec.Cmd) error {
	backoff := rpc.Backoff{Min: 200 * time.Millisecond, Max: 30 * time.Second}
	for {
		err := cmd.Wait()
		g.mu.Lock()
		ending := g.ending
		g.mu.Unlock()
		if ending {
			return err
		}
		g.log.Warn("the process has ended that detaches the server if this one is killed; another one is started", "error", err)
		for cmd = nil; cmd == nil; {
			over := backoff.Wait(ctx) != nil // then it is started once more, for what is left
			if cmd, err = g.start(); err != nil && over {
				return err
			} else if err != nil {
				g.log.Warn("it can't be started: if this process is killed, the GameServer stays", "error", err)
			}
		}
	}
}

// Write is what an attach.Warden writes to.
func (g *guards) Write(line []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.last = bytes.Clone(line)
	return g.in.Write(line)
}

// dismiss ends the guard, and returns its error: then a GameServer is left behind.
func (g *guards) dismiss() error {
	g.mu.Lock()
	g.ending = true
	_ = g.in.Close()
	g.mu.Unlock()
	g.cancel()
	return <-g.ended
}

// guard is that process. It outlives what ends the one that it guards: a terminal that is
// closed, Ctrl-C, of which the caller's context is told, and Ctrl-\.
func guard(p service.Process, raw string) int {
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	var access guardAccess
	if err := json.Unmarshal([]byte(raw), &access); err != nil {
		return p.Fail("torikumi-attach: "+guardEnv, err)
	}
	cluster, err := attach.Open(access.Kubeconfig, access.Context)
	if err == nil {
		err = attach.Guard(context.Background(), cluster, p.Stdin, func(err error) { fmt.Fprintf(p.Stderr, "torikumi-attach: %v\n", err) })
	}
	if err != nil {
		return p.Fail("torikumi-attach", err)
	}
	return 0
}
