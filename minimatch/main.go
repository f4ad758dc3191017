// Command minimatch serves Open Match's API from memory.
package main

import (
	"torikumi/minimatch/minimatch"
	"torikumi/pkg/service"
)

func main() { service.Main("minimatch", minimatch.Run) }
