//go:build unix

package test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// podCommand makes the test program a pod: a gate and a game server, each as
// its own process, as a cluster runs them side by side.
const podCommand = "pod"

// pod runs until the game server ends or it is told to stop. args are the
// issuer of join tokens and a file that names the URL of its keys, which is
// known only after the fleet has been set up.
func pod(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := runPod(ctx, args[0], args[1], args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "pod:", err)
		return 1
	}
	return 0
}

func runPod(ctx context.Context, programs, issuer, keysFile string) error {
	builtIn = programs
	keys, err := os.ReadFile(keysFile)
	if err != nil {
		return err
	}
	start, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	gate := exec.Command(program("gate"), "--http-listen=127.0.0.1:0", "--issuer="+issuer, "--jwks-url="+strings.TrimSpace(string(keys)))
	gp, err := follow(start, "gate", gate)
	if err != nil {
		return unless(ctx, fmt.Errorf("gate: %w", err))
	}
	server := exec.Command(program("server"))
	server.Env = append(os.Environ(), "TORIKUMI_GATE=http://"+gp.Addrs().HTTP)
	sp, err := follow(start, "server", server)
	if err != nil {
		gp.Stop()
		return unless(ctx, fmt.Errorf("server: %w", err))
	}
	<-sp.Done()
	// The fleet signals the whole group, and a second signal would end the gate at once:
	// it gets one of us only where none came.
	alone := time.NewTimer(time.Minute)
	defer alone.Stop()
	select {
	case <-ctx.Done():
	case <-gp.Done():
	case <-alone.C:
		gp.Stop()
	}
	<-gp.Done()
	return errors.Join(sp.Err(), gp.Err())
}

// unless forgives a program that it was stopped before it listened.
func unless(stopped context.Context, err error) error {
	if stopped.Err() != nil {
		return nil
	}
	return err
}
