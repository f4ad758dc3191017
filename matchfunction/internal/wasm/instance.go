package wasm

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"

	"torikumi/matchfunction/rule"
)

// instance is a module that runs, with its parameters. One goroutine uses it at
// a time.
type instance struct {
	module     api.Module
	parameters string
	alloc      api.Function
	call       api.Function
	encoder    encoder
	stack      [2]uint64
	said       *head
}

// zeros is all the randomness that modules get.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// start makes an instance, whose error says too what is wrong with parameters.
func (m *Module) start(parameters string) (*instance, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	in := &instance{parameters: parameters, said: new(head)}
	// The wall clock stands still. That which runtimes measure by goes on with each
	// look at it, and with each sleep, which is over at once.
	now := int64(0)
	config := wazero.NewModuleConfig().WithName("").WithStartFunctions("_initialize").WithRandSource(zeros{}).
		WithWalltime(func() (int64, int32) { return 0, 0 }, sys.ClockResolution(time.Microsecond)).WithStderr(in.said).
		WithNanotime(func() int64 { now += int64(time.Microsecond); return now }, sys.ClockResolution(time.Microsecond)).
		WithNanosleep(func(ns int64) { now += ns })
	var err error
	if in.module, err = m.runtime.InstantiateModule(ctx, m.compiled, config); err != nil {
		return nil, in.wrong("start", startTimeout, err)
	}
	in.alloc, in.call = in.module.ExportedFunction(allocName), in.module.ExportedFunction(judgeName)
	if err := in.init(ctx); err != nil {
		in.close()
		return nil, err
	}
	return in, nil
}

func (in *instance) init(ctx context.Context) error {
	f := in.module.ExportedFunction(initName)
	if f == nil {
		if in.parameters != "" {
			return fmt.Errorf("the module takes none: it exports no %s", initName)
		}
		return nil
	}
	refusal, err := in.ask(ctx, f, []byte(in.parameters))
	if err != nil {
		return in.wrong(initName, startTimeout, err)
	}
	if refusal != "" {
		return errors.New(refusal)
	}
	return nil
}

// judge asks about a match. After an error the instance is of no use.
func (in *instance) judge(m *rule.Match, limit time.Duration) (refusal string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	refusal, err = in.ask(ctx, in.call, in.encoder.encode(m))
	if err == nil {
		err = ctx.Err() // the runtime looks at it in loops and calls alone
	}
	if err != nil {
		return "", in.wrong(judgeName, limit, err)
	}
	return refusal, nil
}

// ask calls a function about data, for which the module makes room.
func (in *instance) ask(ctx context.Context, f api.Function, data []byte) (refusal string, err error) {
	in.said.text = in.said.text[:0]
	address := uint32(0)
	if len(data) > 0 {
		in.stack[0] = uint64(len(data))
		if err := in.alloc.CallWithStack(ctx, in.stack[:]); err != nil {
			return "", err
		}
		if address = uint32(in.stack[0]); address == 0 {
			return "", fmt.Errorf("%s has no room for %d bytes", allocName, len(data))
		}
		if !in.module.Memory().Write(address, data) {
			return "", fmt.Errorf("%s makes room for %d bytes at %d, outside of the memory", allocName, len(data), address)
		}
	}
	in.stack[0], in.stack[1] = uint64(address), uint64(len(data))
	if err := f.CallWithStack(ctx, in.stack[:]); err != nil {
		return "", err
	}
	return readAnswer(in.module.Memory(), in.stack[0])
}

// wrong says what an instance was doing when it failed, in one line: what comes
// from the runtime has the stack below it.
func (in *instance) wrong(doing string, limit time.Duration, err error) error {
	exit := new(sys.ExitError)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("takes longer than %v", limit)
	case !errors.As(err, &exit):
		first, _, _ := strings.Cut(err.Error(), "\n")
		err = errors.New(first)
	case exit.ExitCode() == sys.ExitCodeDeadlineExceeded:
		err = fmt.Errorf("takes longer than %v", limit)
	default:
		err = fmt.Errorf("ends with exit code %d", exit.ExitCode())
	}
	if said := in.said.String(); said != "" {
		return fmt.Errorf("%s: %w; it wrote %q", doing, err, said)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func (in *instance) close() { _ = in.module.Close(context.Background()) } // frees memory: there is nobody to tell

// size is how much memory the instance has, in bytes.
func (in *instance) size() int { return int(in.module.Memory().Size()) }

// head keeps the beginning of what a module writes in one call: that of a panic
// says what it is.
type head struct{ text []byte }

const mostWritten = 512

func (h *head) Write(p []byte) (int, error) {
	h.text = append(h.text, p[:min(len(p), mostWritten-len(h.text))]...)
	return len(p), nil
}

func (h *head) String() string { return strings.TrimSpace(string(h.text)) }

// idle are the instances of a module that nobody uses, those used last behind.
type idle struct {
	mu   sync.Mutex
	list []*instance
	size int
}

// mostIdle is the most memory of a module's instances that nobody uses, in
// bytes: more are made when they are needed.
const mostIdle = 64 << 20

// take returns an instance with these parameters, nil if there is none.
func (i *idle) take(parameters string) *instance {
	i.mu.Lock()
	defer i.mu.Unlock()
	for at := len(i.list) - 1; at >= 0; at-- {
		if in := i.list[at]; in.parameters == parameters {
			i.remove(at)
			return in
		}
	}
	return nil
}

func (i *idle) remove(at int) {
	i.size -= i.list[at].size()
	copy(i.list[at:], i.list[at+1:])
	i.list[len(i.list)-1] = nil
	i.list = i.list[:len(i.list)-1]
}

// put keeps an instance, and closes those unused for longest if there is no room.
func (i *idle) put(in *instance) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.list = append(i.list, in)
	for i.size += in.size(); i.size > mostIdle && len(i.list) > 1; {
		oldest := i.list[0]
		i.remove(0)
		oldest.close()
	}
}
