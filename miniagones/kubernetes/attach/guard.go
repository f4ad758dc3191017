package attach

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"torikumi/pkg/rpc"
)

// guardTimeout is for how long a guard tries to delete a GameServer.
const guardTimeout = 2 * time.Minute

// guarded is a line that a guard reads: the GameServer that there is now, if any.
type guarded struct{ Namespace, Name, UID string }

// Guard reads from in what a Warden writes, in a process of its own, until in ends: then
// the process that wrote has ended, and Guard deletes the GameServer that it has left. When
// the first attempt fails, trouble is told why.
func Guard(ctx context.Context, c *Cluster, in io.Reader, trouble func(error)) error {
	var last guarded
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var now guarded
		if err := json.Unmarshal(lines.Bytes(), &now); err != nil {
			return fmt.Errorf("read what is guarded: %w", err)
		}
		last = now
	}
	if last.Name == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, guardTimeout)
	defer cancel()
	backoff := rpc.Backoff{Min: 200 * time.Millisecond, Max: 10 * time.Second}
	for first := true; ; first = false {
		err := c.explain(c.remove(ctx, last.Namespace, last.Name, last.UID))
		if err == nil {
			return nil
		}
		if first && passing(err) {
			trouble(fmt.Errorf("GameServer %s/%s is not deleted yet, attempts go on for %v: %w", last.Namespace, last.Name, guardTimeout, err))
		}
		if !passing(err) || backoff.Wait(ctx) != nil {
			return fmt.Errorf("GameServer %s/%s is left behind: delete it with kubectl, or attach in the same namespace, which deletes it in a while: %w", last.Namespace, last.Name, err)
		}
	}
}

// Warden tells a guard. It is safe for concurrent use.
type Warden struct {
	mu  sync.Mutex
	out io.Writer
}

// NewWarden writes to the standard input of a guard.
func NewWarden(out io.Writer) *Warden { return &Warden{out: out} }

// Watch is Options.Guard.
func (w *Warden) Watch(namespace, name, uid string) {
	line, err := json.Marshal(guarded{namespace, name, uid})
	if err != nil { // texts
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_, _ = w.out.Write(append(line, '\n')) // a guard that is gone cannot be told
}
