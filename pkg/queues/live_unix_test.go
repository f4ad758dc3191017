//go:build unix

package queues_test

import (
	"errors"
	"os"
	"syscall"
	"testing"
)

// A pipe in place of the file does not hold the reader up.
func TestLiveDoesNotHang(t *testing.T) {
	follow(t, map[string]string{"queues.yaml": one("a")}, nil, func(l *follower) {
		if err := errors.Join(os.Remove(l.path()), syscall.Mkfifo(l.path(), 0o600)); err != nil {
			l.Fatal(err)
		}
		l.wait(inForce)
		l.names("a")
		l.logged("must be a regular file")
	})
}
