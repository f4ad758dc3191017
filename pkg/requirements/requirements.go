// Package requirements says what a machine lacks for tests and for tools of developers: all
// of it, and how Debian has it.
package requirements

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// Program is one that is run, and the package of Debian that has it.
type Program struct {
	// Name is that of the program, or its path. Others will do as well.
	Name, Package string
	Others        []string
}

// Find returns its path, or an error that says how Debian has it.
func (p Program) Find() (path string, err error) {
	for _, name := range append([]string{p.Name}, p.Others...) {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", lacking(p)
}

// lacking says of programs that this machine has none of them.
func lacking(programs ...Program) error {
	var names, packages []string
	for _, p := range programs {
		names, packages = append(names, p.Name), append(packages, strings.Fields(p.Package)...)
	}
	slices.Sort(packages)
	return fmt.Errorf("this machine lacks %s; on Debian: apt-get install --no-install-recommends %s",
		strings.Join(names, ", "), strings.Join(slices.Compact(packages), " "))
}

// List is what something needs.
type List struct {
	Root     bool // it runs as root
	Programs []Program
}

// Join is what several need.
func Join(lists ...List) (all List) {
	for _, l := range lists {
		all.Root = all.Root || l.Root
		all.Programs = append(all.Programs, l.Programs...)
	}
	return all
}

// Lacking returns an error that names all that this machine lacks, or nil.
func (l List) Lacking() error {
	var errs []error
	if l.Root && os.Getuid() != 0 {
		errs = append(errs, errors.New("root is needed: for namespaces, a bridge and cgroups"))
	}
	var missing []Program
	for _, p := range l.Programs {
		if slices.ContainsFunc(missing, func(m Program) bool { return m.Name == p.Name }) {
			continue
		}
		if _, err := p.Find(); err != nil {
			missing = append(missing, p)
		}
	}
	if len(missing) > 0 {
		errs = append(errs, lacking(missing...))
	}
	return errors.Join(errs...)
}
