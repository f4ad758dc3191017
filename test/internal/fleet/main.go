// Command fleet is miniagones with what a pod has and a program alone has not: each game
// server finds the token of its gate in a file, which TORIKUMI_GATE_TOKEN_FILE names.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"torikumi/miniagones/miniagones"
	"torikumi/pkg/service"
)

func main() { service.Main("fleet", run) }

func run(ctx context.Context, cfg *miniagones.Config, started func(service.Addrs)) (err error) {
	dir, err := os.MkdirTemp("", "torikumi-fleet-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	logger := cfg.Logger(os.Stderr, "fleet")
	f, err := miniagones.New(cfg, miniagones.Hooks{Logger: logger, Output: os.Stderr, Sidecar: mount(dir)})
	if err != nil {
		return fmt.Errorf("set up the fleet: %w", err)
	}
	return service.Run(ctx, service.Options{
		Name: "fleet", Config: cfg.Config, Logger: logger, GRPCListen: []string{cfg.GRPCListen}, HTTPListen: []string{cfg.HTTPListen},
		Register: f.Register, Background: []func(context.Context) error{f.Run}, Started: started,
	})
}

// mount puts the tokens of gates into files of a directory.
func mount(dir string) func(context.Context, miniagones.Spec) ([]string, func(), error) {
	return func(_ context.Context, spec miniagones.Spec) ([]string, func(), error) {
		f, err := os.CreateTemp(dir, spec.Name+"-")
		if err != nil {
			return nil, nil, err
		}
		_, err = f.WriteString(spec.GateToken)
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, nil, err
		}
		return []string{"TORIKUMI_GATE_TOKEN_FILE=" + f.Name()}, func() { _ = os.Remove(f.Name()) }, nil
	}
}
