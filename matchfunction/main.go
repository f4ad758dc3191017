// Command matchfunction serves Open Match's match function API, and tells
// designers of rule sets what these are worth: "matchfunction help".
package main

import "torikumi/matchfunction/matchfunction"

func main() { matchfunction.Main(nil) }
