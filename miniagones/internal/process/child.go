package process

import (
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"time"

	"torikumi/miniagones/internal/fleet"
)

// child is a running process and its group.
type child struct {
	cmd  *exec.Cmd
	out  *lines
	done chan struct{}
	over chan struct{} // closed when the grace is over
	err  error

	// mu keeps signals away from a process that has been waited for, whose
	// number may be somebody else's by then.
	mu     sync.Mutex
	reaped bool
	kill   *time.Timer
}

// wait ends the rest of the group once the process itself has ended. If it has ended
// because it was asked to, the rest has been asked too, and has the rest of the grace: a
// script that starts a server without exec ends at once, and the server saves first.
func (c *child) wait() {
	var err error
	if observeExit(c.cmd.Process) {
		c.awaitRest()
		c.mu.Lock()
		killGroup(c.cmd.Process)
		err = c.cmd.Wait()
	} else {
		err = c.cmd.Wait()
		c.mu.Lock()
		killRest(c.cmd.Process)
	}
	c.reaped = true
	if c.kill != nil {
		c.kill.Stop()
	}
	c.mu.Unlock()
	c.out.flush()
	c.err = c.describe(err)
	close(c.done)
}

// awaitRest returns when nobody else is left in the group, or the grace is over, or
// nobody has asked the group to end.
func (c *child) awaitRest() {
	c.mu.Lock()
	asked := c.kill != nil
	c.mu.Unlock()
	for pause := restPause; asked && groupLives(c.cmd.Process); pause = min(2*pause, 8*restPause) {
		select {
		case <-c.over:
			return
		case <-time.After(pause):
		}
	}
}

// restPause is the first time between two looks at the group.
const restPause = 10 * time.Millisecond

func (c *child) describe(err error) error {
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return &fleet.Failure{ExitCode: exit.ExitCode(), Reason: exit.String(), Output: c.out.tail()}
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return nil
	}
	return &fleet.Failure{ExitCode: -1, Reason: fmt.Sprintf("wait: %v", err), Output: c.out.tail()}
}

// Stop asks the group to end, and makes it after the grace time.
func (c *child) Stop(grace time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reaped || c.kill != nil {
		return
	}
	terminateGroup(c.cmd.Process)
	c.kill = time.AfterFunc(grace, func() {
		close(c.over)
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.reaped {
			killGroup(c.cmd.Process)
		}
	})
}

func (c *child) Done() <-chan struct{} { return c.done }

func (c *child) Err() error { return c.err }
