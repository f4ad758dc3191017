// Command gate is the sidecar that admits players to a game server.
package main

import (
	"torikumi/gameserver/gate"
	"torikumi/pkg/service"
)

func main() { service.Exit(gate.Main) }
