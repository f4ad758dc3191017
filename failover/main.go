// Command failover replaces on-premises nodes that die by machines of a cloud.
// `failover status` prints how far it is.
package main

import (
	"context"
	"os"

	"torikumi/failover/failover"
	"torikumi/pkg/service"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "status" {
		os.Exit(failover.Status(context.Background(), os.Args[2:], os.Getenv, os.Stdout, os.Stderr))
	}
	service.Main("failover", failover.Run)
}
