// Command miniagones makes Fleets and GameServers of a cluster into pods and hands
// them out. `miniagones sdk` is the SDK server in such a pod.
package main

import (
	"context"
	"os"

	"torikumi/miniagones/kubernetes/controller"
	"torikumi/miniagones/kubernetes/sidecar"
	"torikumi/pkg/service"
)

const about = `miniagones makes Fleets and GameServers of a cluster into pods.

Usage: miniagones [--setting=value ...]           run the controller until it is told to stop
       miniagones COMMAND [--setting=value ...]
`

func main() {
	if !service.HasCommand(os.Args[1:]) {
		service.Main("miniagones", controller.Main)
	}
	service.Exit(func(ctx context.Context, p service.Process) int {
		return service.Dispatch(ctx, service.Program{
			Name: "miniagones", About: about,
			Notes:    "\"miniagones --help\" shows the settings of the controller, \"miniagones COMMAND --help\" those of a command.\n",
			Commands: []service.Command{{Name: "sdk", Summary: "run the SDK server in the pod of a game server", Run: sidecar.Command}},
		}, p)
	})
}
