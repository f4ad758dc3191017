// Command loadgen makes tickets at a fixed rate at the front of a matchmaker and reports latencies and losses.
package main

import (
	"torikumi/loadgen/loadgen"
	"torikumi/pkg/service"
)

func main() { service.Exit(loadgen.Command{Name: "loadgen", EnvPrefix: "LOADGEN_"}.Main) }
