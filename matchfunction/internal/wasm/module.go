// Package wasm runs custom rules that are WebAssembly modules. On the player's
// path it is called by the search, for each match that all other rules allow.
//
// A module computes and nothing else: it has no clock that goes, no randomness,
// no files and no network. What it may take of time and memory has limits.
package wasm

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"torikumi/matchfunction/rule"
)

// Limits are what a module may take. All are required.
type Limits struct {
	// Call is the longest time of one judgement.
	Call time.Duration
	// MemoryMiB is the most memory of one instance.
	MemoryMiB int
}

// DefaultLimits are those of the commands, and of the service unless it is told
// others.
var DefaultLimits = Limits{Call: time.Second, MemoryMiB: 32}

const (
	// maxModule is the largest module, in bytes, as a file and unpacked.
	maxModule = 16 << 20
	// startTimeout is the longest time for an instance to start, and to take its
	// parameters.
	startTimeout = 5 * time.Second
	pagesPerMiB  = 16
)

// What a module exports beside its memory.
const (
	allocName = "rule_alloc"
	initName  = "rule_init"
	judgeName = "rule_judge"
)

// Module is a compiled module. It is safe for concurrent use. What it has of
// memory is freed after nothing refers to it any more.
type Module struct {
	name     string
	digest   string
	limits   Limits
	runtime  wazero.Runtime
	compiled wazero.CompiledModule
	idle     idle
}

// Compile reads a module, which may be packed with gzip, and says what is wrong
// with it.
func Compile(ctx context.Context, name string, text []byte, limits Limits) (*Module, error) {
	named := digest(text)
	text, err := unpack(text)
	if err == nil {
		text, err = boundTables(text)
	}
	if err != nil {
		return nil, err
	}
	config := wazero.NewRuntimeConfig().WithCloseOnContextDone(true).WithMemoryLimitPages(uint32(limits.MemoryMiB * pagesPerMiB))
	m := &Module{name: name, digest: named, limits: limits, runtime: wazero.NewRuntimeWithConfig(ctx, config)}
	if err := m.compile(ctx, text); err != nil {
		return nil, errors.Join(err, m.runtime.Close(ctx))
	}
	runtime.AddCleanup(m, func(r wazero.Runtime) { _ = r.Close(context.Background()) }, m.runtime) // frees memory: there is nobody to tell
	return m, nil
}

func (m *Module) compile(ctx context.Context, text []byte) error {
	_, err := wasi_snapshot_preview1.Instantiate(ctx, m.runtime)
	if err != nil {
		return fmt.Errorf("make what modules may call: %w", err)
	}
	if m.compiled, err = m.runtime.CompileModule(ctx, text); err != nil {
		return fmt.Errorf("is no WebAssembly module: %w", err)
	}
	return errors.Join(m.checkImports(m.runtime.Module(wasi_snapshot_preview1.ModuleName)), m.checkExports())
}

// gzipMagic begins what is packed with gzip.
var gzipMagic = []byte{0x1f, 0x8b}

func unpack(text []byte) ([]byte, error) {
	if !bytes.HasPrefix(text, gzipMagic) {
		return text, nil
	}
	r, err := gzip.NewReader(bytes.NewReader(text))
	if err == nil {
		text, err = io.ReadAll(io.LimitReader(r, maxModule+1))
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("is no gzip: %w", err)
	case len(text) > maxModule:
		return nil, fmt.Errorf("must have at most %d bytes, unpacked", maxModule)
	}
	return text, nil
}

// checkImports allows what WASI has, most of which does nothing here.
func (m *Module) checkImports(system api.Module) error {
	there := system.ExportedFunctionDefinitions()
	var errs []error
	for _, f := range m.compiled.ImportedFunctions() {
		from, name, _ := f.Import()
		if from != wasi_snapshot_preview1.ModuleName || there[name] == nil {
			errs = append(errs, fmt.Errorf("imports %s.%s, and may import nothing but %s", from, name, wasi_snapshot_preview1.ModuleName))
		}
	}
	for _, memory := range m.compiled.ImportedMemories() {
		from, name, _ := memory.Import()
		errs = append(errs, fmt.Errorf("imports the memory %s.%s, and has to have its own", from, name))
	}
	return errors.Join(errs...)
}

func (m *Module) checkExports() error {
	i32, i64 := api.ValueTypeI32, api.ValueTypeI64
	var errs []error
	if len(m.compiled.ExportedMemories()) == 0 {
		errs = append(errs, errors.New("exports no memory"))
	}
	functions := m.compiled.ExportedFunctions()
	for _, want := range []struct {
		name            string
		params, results []api.ValueType
		required        bool
	}{
		{allocName, []api.ValueType{i32}, []api.ValueType{i32}, true},
		{initName, []api.ValueType{i32, i32}, []api.ValueType{i64}, false},
		{judgeName, []api.ValueType{i32, i32}, []api.ValueType{i64}, true},
	} {
		switch f := functions[want.name]; {
		case f == nil && want.required:
			errs = append(errs, fmt.Errorf("exports no function %s", want.name))
		case f != nil && (!slices.Equal(f.ParamTypes(), want.params) || !slices.Equal(f.ResultTypes(), want.results)):
			errs = append(errs, fmt.Errorf("exports %s%s, must be %s", want.name, signature(f.ParamTypes(), f.ResultTypes()), signature(want.params, want.results)))
		}
	}
	if functions["_start"] != nil && functions["_initialize"] == nil {
		errs = append(errs, errors.New("is a program (it exports _start), and has to be a library: -buildmode=c-shared, -mexec-model=reactor"))
	}
	return errors.Join(errs...)
}

func signature(params, results []api.ValueType) string {
	names := func(types []api.ValueType) string {
		out := ""
		for i, t := range types {
			if i > 0 {
				out += ", "
			}
			out += api.ValueTypeName(t)
		}
		return "(" + out + ")"
	}
	return names(params) + " -> " + names(results)
}

// digest names a file.
func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6])
}

// Factory is a rule.Factory: it starts an instance, which has to take the
// parameters.
func (m *Module) Factory(parameters json.RawMessage) (rule.Rule, error) {
	made := &moduleRule{module: m, parameters: string(parameters)}
	in, err := m.start(made.parameters)
	if err != nil {
		return nil, err
	}
	m.idle.put(in)
	return made, nil
}

// running bounds the judgements at a time, of all modules, with the starts that they need: no
// more of them than there are cores take memory, and what stacks take beyond the limit, at once.
var running = make(chan struct{}, runtime.GOMAXPROCS(0))

// moduleRule is a module with parameters.
type moduleRule struct {
	module     *Module
	parameters string
}

// Allows implements rule.Rule, when its turn comes. An instance that fails is not used
// again.
func (r *moduleRule) Allows(match *rule.Match) error {
	running <- struct{}{}
	defer func() { <-running }()
	m := r.module
	in := m.idle.take(r.parameters)
	if in == nil {
		var err error
		if in, err = m.start(r.parameters); err != nil {
			return m.failed(err)
		}
	}
	refusal, err := in.judge(match, m.limits.Call)
	if err != nil {
		in.close()
		return m.failed(err)
	}
	m.idle.put(in)
	runtime.KeepAlive(m) // its memory is freed when nothing refers to it
	if refusal != "" {
		return errors.New(refusal)
	}
	return nil
}

func (m *Module) failed(err error) error {
	return &rule.Failure{Err: fmt.Errorf("module %s (%s): %w", m.name, m.digest, err)}
}
