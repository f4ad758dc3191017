package frontend_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"testing"
	"time"

	"torikumi/frontend/frontend"
	"torikumi/pkg/service"
)

// childVar makes the test binary a frontend of its own: it holds the settings.
const childVar = "TORIKUMI_TEST_FRONTEND"

// runChild is a frontend in a process of its own. It ends with its standard input, and so with
// the test, however that ends.
func runChild(settings string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // the end is what counts
		stop()
	}()
	cfg := new(frontend.Config)
	if err := json.Unmarshal([]byte(settings), cfg); err != nil {
		return err
	}
	return frontend.Run(ctx, cfg, func(a service.Addrs) { fmt.Println(a.HTTP) })
}

// child is a frontend in a process of its own, which can be killed and started again.
type child struct {
	t    testing.TB
	cfg  frontend.Config
	cmd  *exec.Cmd
	in   io.Closer // open for as long as it is to run
	addr string
	url  string
}

// spawn starts one; it ends with the test.
func spawn(t testing.TB, cfg frontend.Config) *child {
	t.Helper()
	c := &child{t: t, cfg: cfg}
	if err := c.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.stop() })
	return c
}

// start returns when it listens.
func (c *child) start() error {
	settings, err := json.Marshal(&c.cfg)
	if err != nil {
		return err
	}
	c.cmd = exec.Command(os.Args[0])
	c.cmd.Env, c.cmd.Stderr = append(os.Environ(), childVar+"="+string(settings)), os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.cmd.Start(); err != nil {
		return err
	}
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return fmt.Errorf("the frontend does not start: %w", err)
	}
	c.addr = strings.TrimSpace(addr)
	c.url = "http://" + c.addr
	return nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// kill ends it without a warning.
func (c *child) kill() {
	_ = c.cmd.Process.Kill() // it may have ended
	_ = c.cmd.Wait()         // it was killed
	c.cmd = nil
}

// stop ends it as a supervisor does, and returns how long that took.
func (c *child) stop() time.Duration {
	if c.cmd == nil {
		return 0
	}
	begin := time.Now()
	_ = c.cmd.Process.Signal(os.Interrupt) // it may have ended
	if err := c.cmd.Wait(); err != nil {
		c.t.Errorf("the frontend ends: %v", err)
	}
	c.cmd = nil
	return time.Since(begin)
}
