// Command failover replaces on-premises nodes that die by machines of a cloud.
// `failover status` prints how far it is, `failover drill` rehearses it.
package main

import "torikumi/failover/failover"

func main() { failover.Main() }
