package controlplane

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// group is the processes of one cluster: one process group, led by the first
// that is started, in one folder with their data and logs.
type group struct {
	dir   string
	procs []*process

	// guard is a shell that waits for the end of its standard input, which is
	// the end of this process, however it ends: go test's time limit and a
	// second Ctrl-C run no cleanup.
	guard *exec.Cmd
	life  io.WriteCloser
}

const guardScript = `read -r _; kill -s KILL -- "-$1"; rm -rf -- "$2"`

type process struct {
	name string
	log  string
	cmd  *exec.Cmd
	// done is closed when it has ended, then err says how.
	done chan struct{}
	err  error
}

// start starts a program. Its log is appended to.
func (g *group) start(name, path string, args ...string) (*process, error) {
	p := &process{name: name, log: filepath.Join(g.dir, name+".log"), done: make(chan struct{})}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p.cmd = exec.Command(path, args...)
	p.cmd.Dir = g.dir
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: g.id()}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	g.procs = append(g.procs, p)
	if g.guard == nil {
		return p, g.watch()
	}
	return p, nil
}

// id is the process group's, 0 before there is one.
func (g *group) id() int {
	if len(g.procs) == 0 {
		return 0
	}
	return g.procs[0].cmd.Process.Pid
}

func (g *group) watch() error {
	guard := exec.Command("sh", "-c", guardScript, "guard", strconv.Itoa(g.id()), g.dir)
	guard.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	life, err := guard.StdinPipe()
	if err != nil {
		return err
	}
	if err := guard.Start(); err != nil {
		return fmt.Errorf("start the guard: %w", err)
	}
	g.guard, g.life = guard, life
	return nil
}

// stop kills all that run and waits for their ends. What they have written is
// thrown away with the folder, so it does not matter in which state it is.
func (g *group) stop() error {
	var errs []error
	if id := g.id(); id != 0 {
		if err := syscall.Kill(-id, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			errs = append(errs, fmt.Errorf("kill process group %d: %w", id, err))
		}
	}
	for _, p := range g.procs {
		<-p.done
	}
	if g.guard != nil {
		if err := g.guard.Process.Kill(); err != nil {
			errs = append(errs, fmt.Errorf("kill the guard: %w", err))
		}
		_ = g.guard.Wait() // killed is how it ends
		g.life.Close()
	}
	return errors.Join(append(errs, os.RemoveAll(g.dir))...)
}

// terminate asks one process to end, and kills it when it has not after a time.
func (p *process) terminate(patience time.Duration) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", p.name, err)
	}
	<-p.done
	return nil
}

// logLines is how much of each log is shown.
const logLines = 60

// logs is the ends of all logs, each from an offset on.
func (g *group) logs(from map[string]int64) string {
	var text strings.Builder
	seen := map[string]bool{}
	for _, p := range g.procs {
		if seen[p.log] {
			continue
		}
		seen[p.log] = true
		content, err := os.ReadFile(p.log)
		if err != nil {
			fmt.Fprintf(&text, "--- %s: %v\n", p.name, err)
			continue
		}
		content = content[min(from[p.log], int64(len(content))):]
		if len(content) == 0 {
			continue
		}
		lines := strings.Split(strings.TrimRight(string(content), "\n"), "\n")
		fmt.Fprintf(&text, "--- %s, the last of %d lines\n", p.name, len(lines))
		fmt.Fprintln(&text, strings.Join(lines[max(0, len(lines)-logLines):], "\n"))
	}
	return text.String()
}

// logEnds is the logs' present lengths, for logs.
func (g *group) logEnds() map[string]int64 {
	ends := map[string]int64{}
	for _, p := range g.procs {
		if info, err := os.Stat(p.log); err == nil {
			ends[p.log] = info.Size()
		}
	}
	return ends
}
