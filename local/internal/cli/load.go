package cli

import (
	"context"
	"fmt"
	"os"

	"torikumi/loadgen/loadgen"
	"torikumi/pkg/service"
)

func runLoad(ctx context.Context, p service.Process) int {
	exe, err := os.Executable()
	if err != nil {
		return p.Fail("torikumi load", fmt.Errorf("find our own program: %w", err))
	}
	return loadgen.Command{Name: "torikumi load", EnvPrefix: "TORIKUMI_", Up: []string{exe, "up"}}.Main(ctx, p)
}
