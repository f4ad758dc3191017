// Command failover replaces on-premises nodes that die by machines of a cloud.
package main

import (
	"torikumi/failover/failover"
	"torikumi/pkg/service"
)

func main() { service.Main("failover", failover.Run) }
