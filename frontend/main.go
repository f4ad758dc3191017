// Command frontend serves the player API: from "Play" to a game server's
// address and the token that opens it.
package main

import (
	"torikumi/frontend/frontend"
	"torikumi/pkg/service"
)

func main() { service.Main("frontend", frontend.Run) }
