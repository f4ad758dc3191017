package wasm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"torikumi/matchfunction/rule"
)

const (
	// readEvery is the time between two looks at the folder. A change is taken up
	// at the second look that finds it: within twice this time.
	readEvery = 500 * time.Millisecond
	// mostModules bounds how many modules a folder may have.
	mostModules = 100
	pattern     = "*.wasm"
)

// FolderOptions say where modules are; all are required.
type FolderOptions struct {
	Path     string
	Limits   Limits
	Registry prometheus.Registerer
	Logger   *slog.Logger
}

// Folder has the modules of a folder and follows its files. What cannot be read,
// is no module or is gone changes nothing: the module from before stays, and log
// and metrics say so. It is safe for concurrent use.
type Folder struct {
	o          FolderOptions
	successful prometheus.Gauge
	info       *prometheus.GaugeVec

	version atomic.Uint64
	mu      sync.Mutex
	modules map[string]*Module
	// wrong says, by the name, why a file is not in force.
	wrong map[string]error
	// strange are the names at the last look of what is no file that can be read. Only look
	// uses it.
	strange map[string]bool

	// seen and taken are what the files were at the last look, and when they were
	// read. Only look uses them.
	seen, taken map[string]fs.FileInfo
}

// NewFolder reads the modules for the first time; Run follows them. A wrong one
// is no error: others may be right.
func NewFolder(ctx context.Context, o FolderOptions) (*Folder, error) {
	factory := promauto.With(o.Registry)
	f := &Folder{o: o, modules: make(map[string]*Module), wrong: make(map[string]error), taken: make(map[string]fs.FileInfo),
		successful: factory.NewGauge(prometheus.GaugeOpts{Name: "torikumi_matchfunction_modules_last_reload_successful",
			Help: "1 if the modules of --rule-modules are in force as they are in the folder, 0 if one cannot be: that from before is."}),
		info: factory.NewGaugeVec(prometheus.GaugeOpts{Name: "torikumi_matchfunction_module_info",
			Help: "1, with the digest of the file of a module that is in force."}, []string{"module", "digest"}),
	}
	files, err := f.list()
	if err != nil {
		return nil, fmt.Errorf("read the modules: %w", err)
	}
	f.seen = files // they count at once
	f.take(ctx, files)
	return f, nil
}

// Version changes with each module that comes into force.
func (f *Folder) Version() uint64 { return f.version.Load() }

// Find returns the rule of a module.
func (f *Folder) Find(name string) (rule.Factory, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if m := f.modules[name]; m != nil {
		return m.Factory, nil
	}
	if err := f.wrong[name]; err != nil {
		return nil, fmt.Errorf("%s %w", name, err)
	}
	if err := checkName(name); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("the folder of modules (--rule-modules) has no %q", name)
}

// Run follows the folder until ctx ends; then it returns nil.
func (f *Folder) Run(ctx context.Context) error {
	ticker := time.NewTicker(readEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		f.look(ctx)
	}
}

// look takes up what has changed and was the same at the last look.
func (f *Folder) look(ctx context.Context) {
	files, err := f.list()
	if err != nil {
		f.fail(pattern, err)
		return
	}
	f.repaired(pattern)
	stable := make(map[string]fs.FileInfo)
	for name, info := range files {
		if last := f.seen[name]; last != nil && same(last, info) {
			stable[name] = info
		}
	}
	for _, name := range f.known() {
		if files[name] == nil && f.seen[name] == nil && !f.strange[name] {
			delete(f.taken, name)
			f.gone(name)
		}
	}
	f.seen = files
	f.take(ctx, stable)
}

// known are the names of all files that were read, or could not be.
func (f *Folder) known() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := slices.Collect(maps.Keys(f.taken))
	for name := range f.wrong {
		if name != pattern && f.taken[name] == nil {
			all = append(all, name)
		}
	}
	return all
}

// same reports whether a file has not been written or exchanged.
func same(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// list returns the files of modules by their names.
func (f *Folder) list() (map[string]fs.FileInfo, error) {
	root, err := os.OpenRoot(f.o.Path)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	names, err := fs.Glob(root.FS(), pattern)
	if err != nil {
		return nil, err
	}
	if len(names) > mostModules {
		return nil, fmt.Errorf("%s has %d modules, may have at most %d", f.o.Path, len(names), mostModules)
	}
	files := make(map[string]fs.FileInfo, len(names))
	f.strange = make(map[string]bool)
	for _, name := range names {
		info, err := root.Stat(name)
		switch {
		case err == nil:
			files[name] = info
		case !errors.Is(err, fs.ErrNotExist): // else it is gone in this moment
			f.strange[name] = true
			delete(f.taken, name) // it is read when it can be, also if it is as before
			f.fail(name, fmt.Errorf("cannot be read: %w", cause(err)))
		}
	}
	return files, nil
}

// take reads the files that are not those that have been read.
func (f *Folder) take(ctx context.Context, files map[string]fs.FileInfo) {
	for name, info := range files {
		if last := f.taken[name]; last != nil && same(last, info) {
			continue
		}
		f.taken[name] = info
		f.read(ctx, name)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.successful.Set(1)
	if len(f.wrong) > 0 {
		f.successful.Set(0)
	}
}

// read puts a file in force, if it is right and another than before.
func (f *Folder) read(ctx context.Context, name string) {
	text, err := read(f.o.Path, name)
	if err != nil {
		delete(f.taken, name) // it is tried again
		f.fail(name, fmt.Errorf("cannot be read: %w", err))
		return
	}
	f.mu.Lock()
	before := f.modules[name]
	f.mu.Unlock()
	if before != nil && before.digest == digest(text) {
		f.repaired(name)
		return
	}
	m, err := Compile(ctx, name, text, f.o.Limits)
	if err != nil {
		f.fail(name, err)
		return
	}
	f.mu.Lock()
	f.modules[name] = m
	delete(f.wrong, name)
	f.mu.Unlock()
	f.version.Add(1)
	f.info.DeletePartialMatch(prometheus.Labels{"module": name})
	f.info.WithLabelValues(name, m.digest).Set(1)
	f.o.Logger.Info("module loaded", "file", filepath.Join(f.o.Path, name), "digest", m.digest)
}

// fail keeps what was in force, and says why once.
func (f *Folder) fail(name string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.successful.Set(0)
	if last := f.wrong[name]; last != nil && last.Error() == err.Error() {
		return
	}
	f.wrong[name] = err
	what := "module not loaded: rule sets that name it are refused"
	if f.modules[name] != nil || name == pattern { // which is all of them
		what = "module not loaded: one from before stays in force"
	}
	f.o.Logger.Error(what, "file", filepath.Join(f.o.Path, name), "error", err)
}

// gone is for a file that is not there any more: a module of it stays in force.
func (f *Folder) gone(name string) {
	f.mu.Lock()
	there := f.modules[name] != nil
	f.mu.Unlock()
	if there {
		f.fail(name, errors.New("is not there any more"))
	} else {
		f.repaired(name)
	}
}

func (f *Folder) repaired(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.wrong, name)
}
