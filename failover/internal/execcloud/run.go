package execcloud

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"

	"torikumi/failover/internal/redact"
)

const (
	maxLog     = 64 << 10 // of a run's standard error
	maxLogLine = 1 << 10
)

// run asks the program, and returns what it answers. secret is in neither the
// log nor the error.
func (p *Provider) run(ctx context.Context, verb string, req request, secret string) (result, error) {
	call := strings.TrimSpace(verb + " " + req.Name)
	if err := ctx.Err(); err != nil {
		return result{}, fmt.Errorf("%s: %w", call, err)
	}
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	in, err := json.Marshal(req)
	if err != nil {
		return result{}, fmt.Errorf("%s: %w", call, err)
	}
	hide := redact.Script(secret)
	out, err := p.exec(ctx, verb, in, func(line string) {
		p.log.Warn("the program of the exec cloud writes", "verb", verb, "machine", req.Name, "line", hide(line))
	})
	if err != nil {
		return result{}, fmt.Errorf("%s: %w", call, err)
	}
	res, err := parse(verb, out)
	var said *refusal
	switch {
	case errors.As(err, &said):
		text := call + ": " + redact.Short(hide(said.text))
		if said.kind != nil {
			text = said.kind.Error() + ": " + text
		}
		return result{}, &refusal{kind: said.kind, text: text}
	case err != nil:
		return result{}, fmt.Errorf("%s: the program's answer breaks the protocol: %s", call, redact.Short(hide(err.Error())))
	}
	return res, nil
}

var errTooLong = errors.New("the program's answer is too long")

// exec runs the program once, to its end or that of ctx, and returns what it
// wrote. Each line of its standard error goes to note.
func (p *Provider) exec(ctx context.Context, verb string, in []byte, note func(string)) ([]byte, error) {
	cmd := exec.Command(p.cfg.Program, verb)
	cmd.Env = p.env
	cmd.Dir = os.TempDir()
	group(cmd)
	stdin, inErr := cmd.StdinPipe()
	stdout, outErr := cmd.StdoutPipe()
	stderr, errErr := cmd.StderrPipe()
	if err := errors.Join(inErr, outErr, errErr); err != nil {
		return nil, fmt.Errorf("start the program: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the program: %w", err)
	}
	kill := sync.OnceFunc(func() {
		killGroup(cmd) // before Wait: until then the group's number is its own
		// A program that is killed can leave children that hold its ends of the
		// pipes, and then reading has to end by closing ours.
		stdin.Close()
		stdout.Close()
		stderr.Close()
	})
	stop := context.AfterFunc(ctx, kill)

	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = stdin.Write(in) // a program that does not read it all may have its reasons
		stdin.Close()
	})
	wg.Go(func() { lines(stderr, note) })
	out, readErr := io.ReadAll(io.LimitReader(stdout, int64(p.cfg.MaxOutput)+1))
	tooLong := len(out) > p.cfg.MaxOutput
	if tooLong {
		kill()
	}
	wg.Wait()
	if !stop() { // the group is being killed: not to reap it before that
		kill()
	}
	waitErr := cmd.Wait()
	switch {
	case tooLong:
		return nil, fmt.Errorf("%w: more than %d bytes", errTooLong, p.cfg.MaxOutput)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("the program was killed: %w", ctx.Err())
	case waitErr != nil:
		return nil, fmt.Errorf("the program failed: %w", waitErr)
	case readErr != nil:
		return nil, fmt.Errorf("read the program's answer: %w", readErr)
	}
	return out, nil
}

// lines calls note for each line of r, cut to a length, until there were too
// many. It reads on to the end, or the program would block.
func lines(r io.Reader, note func(string)) {
	b := bufio.NewReaderSize(r, maxLogLine)
	left := maxLog
	for {
		line, long, err := b.ReadLine()
		if line = bytes.TrimSpace(line); len(line) > 0 && left > 0 {
			left -= len(line)
			note(strings.ToValidUTF8(string(line), "?"))
			if left <= 0 {
				note("(more is left out)")
			}
		}
		for long && err == nil { // the rest of a long line
			_, long, err = b.ReadLine()
		}
		if err != nil {
			return
		}
	}
}
