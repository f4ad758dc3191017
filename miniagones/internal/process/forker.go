package process

import (
	"os/exec"
	"runtime"
)

// forker starts all processes from one thread. Linux ends a child with the
// thread that made it, not with the process, and Go ends threads as it likes
// unless a goroutine has locked them.
type forker struct {
	requests chan forkRequest
	ended    chan struct{}
}

type forkRequest struct {
	cmd    *exec.Cmd
	result chan<- error
}

func newForker() *forker {
	f := &forker{requests: make(chan forkRequest), ended: make(chan struct{})}
	go func() {
		defer close(f.ended)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for r := range f.requests {
			r.result <- r.cmd.Start()
		}
	}()
	return f
}

func (f *forker) start(cmd *exec.Cmd) error {
	result := make(chan error, 1)
	f.requests <- forkRequest{cmd, result}
	return <-result
}

// close waits for the thread; no start may come during or after it.
func (f *forker) close() {
	close(f.requests)
	<-f.ended
}
