// Machines is a program for failover's exec provider (docs/failover-exec.md): it
// passes each question on to the server that MACHINES_URL names, and its answer
// back. "machines install FOLDER" copies it there, for an init container.
package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "machines:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 2 && args[0] == "install" {
		self, err := os.ReadFile("/proc/self/exe")
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(args[1], "machines"), self, 0o755)
	}
	if len(args) != 1 {
		return errors.New("usage: machines install FOLDER | VERB")
	}
	resp, err := http.Post(os.Getenv("MACHINES_URL")+"/"+args[0], "application/json", os.Stdin)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	_, err = io.Copy(os.Stdout, resp.Body)
	return err
}
