// Command probe is a module that tries to reach what modules must not reach, and
// refuses each match with what it found; with the parameter "panic" it panics.
package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"time"

	"torikumi/matchfunction/rule"
)

type probe string

func (p probe) Allows(*rule.Match) error {
	if p == `"panic"` {
		panic("this is why")
	}
	random := make([]byte, 4)
	_, _ = rand.Read(random)
	_, readErr := os.ReadFile("/etc/hostname")
	writeErr := os.WriteFile("/tmp/probe", nil, 0o600)
	_, dialErr := net.DialTimeout("tcp", "127.0.0.1:80", time.Second)
	time.Sleep(time.Hour)
	return fmt.Errorf("time %s, random %x, read %t, write %t, dial %t, environment %d, arguments %d",
		time.Now().UTC().Format(time.RFC3339Nano), random, readErr == nil, writeErr == nil, dialErr == nil, len(os.Environ()), len(os.Args))
}

func newProbe(p json.RawMessage) (rule.Rule, error) { return probe(p), nil }

func main() {}
