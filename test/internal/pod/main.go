// Command pod is a game server and its gate in one process: as a pod of a cluster, for
// tests that start thousands of them. Its arguments are the gate's, and the fleet says
// where the gate's token is.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"torikumi/gameserver/gate"
	"torikumi/gameserver/server"
	"torikumi/pkg/config"
	"torikumi/pkg/service"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	code, err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "pod:", err)
	}
	os.Exit(code)
}

// run serves until the game server ends.
func run(ctx context.Context, args []string) (code int, err error) {
	if file := os.Getenv("TORIKUMI_GATE_TOKEN_FILE"); file != "" {
		args = append(args, "--director-token-file="+file)
	}
	cfg := new(gate.Config)
	if err := config.Load("pod", "", cfg, args, func(string) string { return "" }, os.Stderr); err != nil {
		return service.ExitUsage, err
	}
	if cfg.SDKPort, err = strconv.Atoi(os.Getenv("AGONES_SDK_GRPC_PORT")); err != nil {
		return service.ExitUsage, fmt.Errorf("AGONES_SDK_GRPC_PORT: %w", err)
	}
	cfg.HTTPListen = "127.0.0.1:0"
	gateRuns, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	listening, ended := make(chan service.Addrs, 1), make(chan error, 1)
	go func() { ended <- gate.Run(gateRuns, cfg, func(a service.Addrs) { listening <- a }) }()
	select {
	case at := <-listening:
		env := map[string]string{
			"TORIKUMI_GATE": "http://" + at.HTTP, "SERVER_UDP_LISTEN": net.JoinHostPort("127.0.0.1", os.Getenv("PORT")),
			"SERVER_LOG_LEVEL": cfg.LogLevel.String(),
		}
		code = server.Main(ctx, service.Process{
			Stdout: io.Discard, Stderr: os.Stderr,
			Getenv: func(name string) string {
				if v, ok := env[name]; ok {
					return v
				}
				return os.Getenv(name)
			},
		})
	case err := <-ended:
		return service.ExitFailed, err
	}
	end()
	if err := <-ended; err != nil {
		return service.ExitFailed, fmt.Errorf("gate: %w", err)
	}
	return code, nil
}
