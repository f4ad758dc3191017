// Package build makes the programs that images hold: the same bytes from the
// same commit, whoever builds them and where.
package build

import (
	"fmt"
	"slices"
	"strings"
)

// Program is one that gets an image.
type Program struct {
	// Name is the image's, and the program's inside it.
	Name string
	// Package is the folder of its main package, below the repository's root.
	Package string
	// Limit is the most bytes that its image may have, compressed, for one
	// architecture.
	Limit int64
}

const megabyte = 1_000_000

// Programs are all that get an image. failover and the director bring a client of
// Kubernetes, and may be larger.
func Programs() []Program {
	return []Program{
		{"frontend", "frontend", 15 * megabyte},
		{"beacon", "frontend/cmd/beacon", 15 * megabyte},
		{"matchfunction", "matchfunction", 15 * megabyte},
		{"evaluator", "evaluator", 15 * megabyte},
		{"director", "director", 25 * megabyte},
		{"failover", "failover", 25 * megabyte},
		{"minimatch", "minimatch", 15 * megabyte},
		{"miniagones", "miniagones/kubernetes/cmd/miniagones", 15 * megabyte},
		{"gate", "gameserver/cmd/gate", 15 * megabyte},
		{"gameserver", "gameserver/cmd/server", 15 * megabyte},
		{"loadgen", "loadgen", 15 * megabyte},
		{"devissuer", "local/cmd/devissuer", 15 * megabyte},
	}
}

// Select returns the programs of these names, all for none.
func Select(names []string) ([]Program, error) {
	all := Programs()
	if len(names) == 0 {
		return all, nil
	}
	var chosen []Program
	for _, name := range names {
		i := slices.IndexFunc(all, func(p Program) bool { return p.Name == name })
		if i < 0 {
			known := make([]string, len(all))
			for i, p := range all {
				known[i] = p.Name
			}
			return nil, fmt.Errorf("%q is none of %s", name, strings.Join(known, ", "))
		}
		if !slices.Contains(chosen, all[i]) {
			chosen = append(chosen, all[i])
		}
	}
	return chosen, nil
}
