package wasm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"torikumi/matchfunction/rule"
)

// checkName refuses what leads out of the folder.
func checkName(name string) error {
	if strings.ContainsAny(name, `/\`) || !filepath.IsLocal(name) {
		return fmt.Errorf("%q must be the name of a file, without a folder", name)
	}
	return nil
}

// read reads a whole module. Nothing outside of the folder is opened, not through
// symbolic links either; those within it, as Kubernetes makes them, are followed.
func read(folder, name string) ([]byte, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return readFrom(root, name)
}

func readFrom(root *os.Root, name string) ([]byte, error) {
	info, err := root.Stat(name)
	switch {
	case err != nil:
		return nil, cause(err)
	case !info.Mode().IsRegular():
		return nil, errors.New("must be a regular file") // another could let the reader wait for ever
	case info.Size() > maxModule:
		return nil, fmt.Errorf("must have at most %d bytes, has %d", maxModule, info.Size())
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, cause(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxModule+1))
	if err == nil && len(text) > maxModule {
		err = fmt.Errorf("must have at most %d bytes", maxModule)
	}
	return text, err
}

// cause leaves out the path, which the message around it has.
func cause(err error) error {
	if path := new(fs.PathError); errors.As(err, &path) {
		return path.Err
	}
	return err
}

// Beside finds modules in a folder, for a command that runs once: each is read
// when it is first asked for. It is for one goroutine.
func Beside(folder string) func(name string) (rule.Factory, error) {
	type found struct {
		factory rule.Factory
		err     error
	}
	known := make(map[string]found)
	return func(name string) (rule.Factory, error) {
		f, ok := known[name]
		if !ok {
			f.factory, f.err = load(folder, name)
			known[name] = f
		}
		return f.factory, f.err
	}
}

func load(folder, name string) (rule.Factory, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	text, err := read(folder, name)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", name, err)
	}
	m, err := Compile(context.Background(), name, text, DefaultLimits)
	if err != nil {
		return nil, fmt.Errorf("%s %w", name, err)
	}
	return m.Factory, nil
}
