package matchfunction

import (
	"context"
	"os"

	"torikumi/matchfunction/internal/cli"
	"torikumi/matchfunction/internal/expression"
	"torikumi/matchfunction/internal/search"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/service"
)

// Main is the whole program of a match function that has custom rules, or nil:
// the service, and the commands lint, simulate and explain, which know the same
// rules. It ends the process.
func Main(rules rule.Registry) {
	if !service.HasCommand(os.Args[1:]) {
		service.Main("matchfunction", With(rules))
	}
	service.Exit(func(ctx context.Context, proc service.Process) int { return cli.Main(ctx, proc, options(rules)) })
}

func options(rules rule.Registry) search.Options {
	return search.Options{Custom: rules, Expression: expression.Compile}
}
