// Command server is the reference dedicated server.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"torikumi/gameserver/server"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := server.Main(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
