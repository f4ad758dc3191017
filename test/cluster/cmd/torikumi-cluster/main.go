// Command torikumi-cluster runs a Kubernetes cluster with several nodes on one
// Linux machine.
package main

import (
	"torikumi/pkg/service"
	"torikumi/test/cluster/internal/cli"
)

func main() { service.Exit(cli.Main) }
