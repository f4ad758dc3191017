// Command devissuer is the development issuer as a pod: it gives a player token
// to whoever asks.
package main

import (
	"torikumi/local/devissuer"
	"torikumi/pkg/service"
)

func main() { service.Main("devissuer", devissuer.Run) }
