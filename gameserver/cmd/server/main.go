// Command server is the reference dedicated server.
package main

import (
	"torikumi/gameserver/server"
	"torikumi/pkg/service"
)

func main() { service.Exit(server.Main) }
