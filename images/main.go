// Command images makes one small image for each service, without Docker and
// without a registry.
package main

import (
	"torikumi/images/internal/cli"
	"torikumi/pkg/service"
)

func main() { service.Exit(cli.Main) }
