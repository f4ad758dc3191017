// Command torikumi-node is the first process of a machine of torikumi-cluster,
// which starts it in namespaces of its own.
package main

import (
	"fmt"
	"os"

	"torikumi/test/cluster/internal/machine"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: torikumi-node SPECIFICATION")
		os.Exit(2)
	}
	fmt.Fprintln(os.Stderr, "torikumi-node:", machine.Start(os.Args[1], os.Stdin))
	os.Exit(1)
}
