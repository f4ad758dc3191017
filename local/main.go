// Command torikumi runs the whole suite on one machine.
package main

import (
	"torikumi/local/internal/cli"
	"torikumi/pkg/service"
)

func main() { service.Exit(cli.Main) }
