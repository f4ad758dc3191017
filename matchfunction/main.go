// Command matchfunction serves Open Match's match function API.
package main

import (
	"torikumi/matchfunction/matchfunction"
	"torikumi/pkg/service"
)

func main() { service.Main("matchfunction", matchfunction.Run) }
