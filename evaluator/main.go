// Command evaluator serves Open Match's evaluator API.
package main

import (
	"torikumi/evaluator/evaluator"
	"torikumi/pkg/service"
)

func main() { service.Main("evaluator", evaluator.Run) }
