package cli

import (
	"context"

	"torikumi/loadgen/loadgen"
	"torikumi/pkg/service"
)

func runLoad(ctx context.Context, p service.Process) int {
	up, err := self("up")
	if err != nil {
		return p.Fail("torikumi load", err)
	}
	return loadgen.Command{Name: "torikumi load", EnvPrefix: "TORIKUMI_", Up: up}.Main(ctx, p)
}
