// Command failover replaces on-premises nodes that die by machines of a cloud.
// `failover status` prints how far it is, `failover drill` rehearses it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"torikumi/failover/failover"
	"torikumi/pkg/service"
)

func main() {
	if len(os.Args) > 1 {
		switch args := os.Args[2:]; os.Args[1] {
		case "status":
			os.Exit(failover.Status(context.Background(), args, os.Getenv, os.Stdout, os.Stderr))
		case "drill":
			interrupts := make(chan os.Signal, 2)
			signal.Notify(interrupts, os.Interrupt, syscall.SIGTERM)
			os.Exit(failover.Drill(context.Background(), args, os.Getenv, os.Stdout, os.Stderr, interrupts))
		}
	}
	service.Main("failover", failover.Run)
}
