// Command gate is the sidecar that admits players to a game server.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"torikumi/gameserver/gate"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := gate.Main(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
