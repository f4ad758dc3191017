// Command torikumi-requirements says what this machine lacks for `make e2e`, all at once.
package main

import (
	"errors"
	"fmt"
	"os"

	"torikumi/pkg/requirements"
	"torikumi/test/cluster/cluster"
)

func main() {
	err := cluster.Requirements(requirements.Browser(), requirements.WasmInC(), requirements.NodeImage(), requirements.Containerd(), requirements.Suite())
	if requirements.DebianMirror() == "" {
		err = errors.Join(err, errors.New("a mirror of Debian 12 or 13 is needed in apt's sources"))
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "make e2e can't run:\n%v\n", err)
		os.Exit(1)
	}
}
