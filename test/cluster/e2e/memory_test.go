//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// memory is what each program of the suite has resident, of those of one name the
// largest.
func (h *harness) memory() string {
	most := map[string]int{}
	statuses, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		h.Error(err)
	}
	for _, link := range statuses {
		// A process that ended meanwhile has none.
		exe, err := os.Readlink(link)
		name := strings.TrimPrefix(exe, "/")
		if err != nil || !slices.Contains(append(used, "redis-server"), filepath.Base(name)) || exe != "/"+filepath.Base(name) && filepath.Base(name) != "redis-server" {
			continue
		}
		status, err := os.ReadFile(filepath.Join(filepath.Dir(link), "status"))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(status)) {
			if field, ok := strings.CutPrefix(line, "VmRSS:"); ok {
				kb, err := strconv.Atoi(strings.Fields(field)[0])
				if err != nil {
					h.Errorf("VmRSS of %s: %q", exe, field)
				}
				most[filepath.Base(name)] = max(most[filepath.Base(name)], kb)
			}
		}
	}
	text := "resident memory:"
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range most {
			if !yield(name) {
				return
			}
		}
	}) {
		text += fmt.Sprintf(" %s %d MB", name, most[name]/1024)
	}
	return text
}
