package controller_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"torikumi/miniagones/internal/conformance"
	"torikumi/miniagones/kubernetes/controller"
	"torikumi/miniagones/kubernetes/internal/kube"
	"torikumi/miniagones/kubernetes/sidecar"
	"torikumi/pkg/service"
)

// programVariable makes the test binary another program: a pod's sidecar, or a
// controller that can be killed.
const programVariable = "MINIAGONES_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if code, child := conformance.Child(); child {
		os.Exit(code)
	}
	if program := os.Getenv(programVariable); program != "" {
		os.Exit(other(program))
	}
	// The controllers of one process, and its kubelets, share the libraries' loggers.
	kube.LogTo(slog.New(slog.DiscardHandler))
	code := m.Run()
	if err := stopCluster(); err != nil {
		fmt.Fprintln(os.Stderr, "stop the cluster:", err)
		code = 1
	}
	os.Exit(code)
}

func other(program string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	p := service.Process{Args: os.Args[1:], Getenv: func(string) string { return "" }, Stdout: os.Stdout, Stderr: os.Stderr}
	switch program {
	case "sdk":
		return sidecar.Command(ctx, p)
	case "controller":
		return service.Start(ctx, "miniagones", controller.Main, p.Args, p.Getenv, p.Stdout, p.Stderr)
	}
	return p.Fail(program, fmt.Errorf("%s: no such program", programVariable))
}
