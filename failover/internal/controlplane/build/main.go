// Command build builds Kubernetes for the tests, unless this machine has it,
// and prints the folder.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"torikumi/failover/internal/controlplane"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := controlplane.Binaries(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "build Kubernetes:", err)
		stop()
		os.Exit(1)
	}
	fmt.Println(dir)
}
