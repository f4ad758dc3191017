// Command torikumi-attach is `torikumi attach --kubeconfig`.
package main

import (
	"torikumi/local/internal/clusterattach"
	"torikumi/pkg/service"
)

func main() { service.Exit(clusterattach.Main) }
