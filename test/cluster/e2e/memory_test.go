//go:build e2e

package e2e

import (
	"encoding/json"
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

// workingSets is what the pods of a node take, as its kubelet counts it, and their
// sum.
func (h *harness) workingSets(node string) string {
	h.Helper()
	var summary struct {
		Pods []struct {
			PodRef struct{ Name string }
			Memory struct{ WorkingSetBytes int }
		}
	}
	if err := json.Unmarshal([]byte(h.kubectl("get", "--raw", "/api/v1/nodes/"+node+"/proxy/stats/summary")), &summary); err != nil {
		h.Fatal(err)
	}
	text, sum := "", 0
	for _, p := range summary.Pods {
		text += fmt.Sprintf(" %s %d MB", p.PodRef.Name, p.Memory.WorkingSetBytes>>20)
		sum += p.Memory.WorkingSetBytes
	}
	if sum == 0 {
		h.Errorf("the kubelet of %s counts no memory", node)
	}
	return fmt.Sprintf("working sets on %s, %d MB in all:%s", node, sum>>20, text)
}
