// Command minimatch serves Open Match's API from memory.
package main

import (
	"os"
	"runtime/debug"

	"torikumi/minimatch/minimatch"
	"torikumi/pkg/service"
)

// gcPercent is how much garbage there may be, in percent of what is in use. What
// waits is nearly all of the memory: with Go's 100, a million tickets would take
// twice their size.
const gcPercent = 40

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	service.Main("minimatch", minimatch.Run)
}
