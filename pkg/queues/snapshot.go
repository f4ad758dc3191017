package queues

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"

	"go.yaml.in/yaml/v3"

	"torikumi/pkg/config"
	"torikumi/pkg/ruleset"
)

// maxFile is the largest queues.yaml or rule set, in bytes: more than a ConfigMap
// can hold.
const maxFile = 4 << 20

// snapshot is what a queues.yaml and the rule sets that it names held when they were
// read, one after the other.
type snapshot struct {
	queues content
	// rules are by the path from the folder of the queues.
	rules map[string]content
}

// content is that of a file, or why it cannot be read.
type content struct {
	text []byte
	err  error
}

func (c content) equal(other content) bool {
	return bytes.Equal(c.text, other.text) && fmt.Sprint(c.err) == fmt.Sprint(other.err)
}

func (s *snapshot) equal(other *snapshot) bool {
	return s.queues.equal(other.queues) && maps.EqualFunc(s.rules, other.rules, content.equal)
}

// digest names what was read.
func (s *snapshot) digest() string {
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(s.rules)) {
		fmt.Fprintf(sum, "%q %q\n", name, s.rules[name].text)
	}
	_, _ = sum.Write(s.queues.text) // never fails
	return hex.EncodeToString(sum.Sum(nil)[:6])
}

// readSnapshot reads a queues.yaml and what it names. What cannot be read is in it
// as an error.
func readSnapshot(file string) *snapshot {
	s := new(snapshot)
	s.queues.text, s.queues.err = readFile(file, os.Stat, os.Open)
	names := ruleSetFiles(s.queues.text)
	if s.queues.err != nil || len(names) == 0 {
		return s
	}
	s.rules = make(map[string]content, len(names))
	// Nothing outside the folder is opened, not through symbolic links either;
	// those within it, as Kubernetes makes them of a ConfigMap, are followed.
	root, err := os.OpenRoot(filepath.Dir(file))
	if err != nil {
		s.queues.err = err
		return s
	}
	defer root.Close()
	for _, name := range names {
		var c content
		c.text, c.err = readFile(name, root.Stat, root.Open)
		s.rules[name] = c
	}
	return s
}

// readFile reads a whole file. One that is no regular file could let the reader
// wait for ever.
func readFile(name string, stat func(string) (fs.FileInfo, error), open func(string) (*os.File, error)) ([]byte, error) {
	info, err := stat(name)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, errors.New("is a directory")
	case info.Mode()&(fs.ModeNamedPipe|fs.ModeSocket) != 0:
		return nil, errors.New("must be a regular file")
	}
	f, err := open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxFile:
		return nil, fmt.Errorf("must have at most %d bytes", maxFile)
	}
	return text, nil
}

// ruleSetFiles finds the rule sets that a queues.yaml names, as far as it can be
// read: what is wrong with it is found later.
func ruleSetFiles(text []byte) []string {
	var set struct {
		Queues []struct {
			RuleSet string `yaml:"rule_set"`
		} `yaml:"queues"`
	}
	_ = yaml.Unmarshal(text, &set)
	var names []string
	for _, q := range set.Queues {
		if name := path.Clean(q.RuleSet); q.RuleSet != "" && fs.ValidPath(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// parse reads and checks what was read from a file.
func (s *snapshot) parse(file string, checks ruleset.Checks) (*Set, error) {
	if s.queues.err != nil {
		return nil, fmt.Errorf("read queues: %w", named(file, s.queues.err))
	}
	set, err := parse(s.queues.text, func(name string) ([]byte, error) {
		c, ok := s.rules[name]
		if !ok {
			return nil, fs.ErrNotExist
		}
		return c.text, c.err
	}, checks)
	if err != nil {
		return nil, config.Within("queues in "+file, err)
	}
	return set, nil
}

// named has an error name its file.
func named(file string, err error) error {
	if cause := new(fs.PathError); errors.As(err, &cause) {
		return err
	}
	return fmt.Errorf("%s: %w", file, err)
}
