// Command torikumi-registry is the registry of torikumi-cluster. It listens on
// the bridge of the cluster's nodes.
package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"time"

	"torikumi/test/cluster/internal/registry"
)

func main() {
	fmt.Fprintln(os.Stderr, "torikumi-registry:", run(os.Args[1:]))
	os.Exit(1)
}

func run(args []string) error {
	if len(args) != 3 {
		return errors.New("usage: torikumi-registry ADDRESS:PORT NETWORK FOLDER")
	}
	network, err := netip.ParsePrefix(args[1])
	if err != nil {
		return err
	}
	server := &http.Server{Addr: args[0], Handler: registry.New(args[2], network), ReadHeaderTimeout: 10 * time.Second}
	return server.ListenAndServe()
}
