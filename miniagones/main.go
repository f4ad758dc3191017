// Command miniagones runs a fleet of game servers on this machine and serves Agones's allocation API for it.
package main

import (
	"torikumi/miniagones/miniagones"
	"torikumi/pkg/service"
)

func main() { service.Main("miniagones", miniagones.Run) }
