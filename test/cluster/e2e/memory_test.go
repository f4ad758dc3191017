//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
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

// usage is what a pod takes, as its kubelet counts it.
type usage struct {
	workingSet int
	cpu        time.Duration // since its start
}

// usages are those of the pods of a node.
func (h *harness) usages(node string) map[string]usage {
	h.Helper()
	var summary struct {
		Pods []struct {
			PodRef struct{ Name string }
			Memory struct{ WorkingSetBytes int }
			CPU    struct{ UsageCoreNanoSeconds int64 }
		}
	}
	if err := json.Unmarshal([]byte(h.kubectl("get", "--raw", "/api/v1/nodes/"+node+"/proxy/stats/summary")), &summary); err != nil {
		h.Fatal(err)
	}
	pods := map[string]usage{}
	for _, p := range summary.Pods {
		pods[p.PodRef.Name] = usage{p.Memory.WorkingSetBytes, time.Duration(p.CPU.UsageCoreNanoSeconds)}
	}
	return pods
}

// report says what the pods of a node take since an earlier look at them, and in all.
func report(before, now map[string]usage, elapsed time.Duration) string {
	var text strings.Builder
	var memory int
	var cpu time.Duration
	percent := func(d time.Duration) float64 { return 100 * d.Seconds() / elapsed.Seconds() }
	for _, name := range slices.Sorted(maps.Keys(now)) {
		used := now[name].cpu - before[name].cpu
		memory, cpu = memory+now[name].workingSet, cpu+used
		fmt.Fprintf(&text, "\n  %4d MB  %5.2f%%  %s", now[name].workingSet>>20, percent(used), name)
	}
	return fmt.Sprintf("working sets, and CPU (of a core) in %.0f s\n  %4d MB  %5.2f%%  in all%s", elapsed.Seconds(), memory>>20, percent(cpu), &text)
}
