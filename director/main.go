// Command director fetches matches from Open Match and gets each a game server.
package main

import (
	"torikumi/director/director"
	"torikumi/pkg/service"
)

func main() { service.Main("director", director.Main) }
