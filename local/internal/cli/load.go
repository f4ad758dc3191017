package cli

import (
	"context"
	"fmt"
	"os"

	"torikumi/loadgen/loadgen"
)

func runLoad(ctx context.Context, std stdio) int {
	exe, err := os.Executable()
	if err != nil {
		fmt.Fprintf(std.stderr, "torikumi load: find our own program: %v\n", err)
		return exitFailed
	}
	c := loadgen.Command{Name: "torikumi load", EnvPrefix: "TORIKUMI_", Up: []string{exe, "up"}}
	return c.Main(ctx, std.args, std.getenv, std.stdout, std.stderr)
}
