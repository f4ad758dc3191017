// Command beacon answers game clients that measure how far away a region is.
package main

import (
	"torikumi/frontend/beacon"
	"torikumi/pkg/service"
)

func main() { service.Main("beacon", beacon.Run) }
