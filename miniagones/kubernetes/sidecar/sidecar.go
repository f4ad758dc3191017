// Package sidecar is the SDK server in the pod of a game server: `miniagones
// sdk`. The game server calls it on localhost; it changes the game server's
// object in the Kubernetes API. On the player's path a game server becomes Ready
// through it.
package sidecar

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"torikumi/miniagones/internal/sdkserver"
	v1 "torikumi/miniagones/kubernetes/api/v1"
	"torikumi/miniagones/kubernetes/internal/kube"
	"torikumi/miniagones/kubernetes/internal/pod"
	"torikumi/miniagones/kubernetes/internal/sdk"
	"torikumi/pkg/service"
)

// Config holds the settings. The controller sets them in each pod.
type Config struct {
	service.Config
	Name         string `flag:"name" required:"the SDK server serves one game server" help:"Name of the game server."`
	Namespace    string `flag:"namespace" required:"the game server lives in one" help:"Namespace of the game server."`
	GRPCListen   string `flag:"grpc-listen" default:"127.0.0.1:9357" rule:"listen" help:"Address of the SDK over gRPC. It has no authentication: loopback only."`
	HTTPListen   string `flag:"http-listen" default:"127.0.0.1:9358" rule:"listen" help:"Address of the SDK over REST. It has no authentication: loopback only."`
	HealthListen string `flag:"health-listen" default:":8080" rule:"listen" help:"Address at which the kubelet asks for its health, and says that the game server runs."`
	Kubeconfig   string `flag:"kubeconfig" help:"Kubeconfig file; none: that of the pod."`
}

const name = "miniagones sdk"

// Command is `miniagones sdk`.
func Command(ctx context.Context, p service.Process) int {
	cfg := new(Config)
	if code, ok := p.Load(name, "MINIAGONES_SDK_", cfg); !ok {
		return code
	}
	kube.LogTo(cfg.Logger(p.Stderr, "miniagones-sdk"))
	err := Run(ctx, cfg, func(a service.Addrs) {
		fmt.Fprintf(p.Stdout, "listening service=miniagones-sdk grpc=%s http=%s health=%s\n", a.GRPC, a.HTTP, a.HTTPAll[1])
	})
	if err != nil {
		return p.Fail(name, err)
	}
	return 0
}

// Run serves until ctx ends. started, which may be nil, is called once, when
// everything listens.
func Run(ctx context.Context, cfg *Config, started func(service.Addrs)) error {
	log := cfg.Logger(os.Stderr, "miniagones-sdk")
	config, err := kube.Config(cfg.Kubeconfig)
	if err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	if err := v1.AddToScheme(scheme); err != nil {
		return fmt.Errorf("scheme: %w", err)
	}
	live, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return fmt.Errorf("connect to the cluster: %w", err)
	}
	server := sdk.New(live, types.NamespacedName{Namespace: cfg.Namespace, Name: cfg.Name}, log)
	watch, synced, err := follow(ctx, config, scheme, cfg, server)
	if err != nil {
		return err
	}
	return serve(ctx, cfg, server, watch, synced, started)
}

// follow makes a watch of the one game server.
func follow(ctx context.Context, config *rest.Config, scheme *runtime.Scheme, cfg *Config, server *sdk.Server) (cache.Cache, func() bool, error) {
	watch, err := cache.New(config, cache.Options{
		Scheme:               scheme,
		DefaultNamespaces:    map[string]cache.Config{cfg.Namespace: {}},
		DefaultFieldSelector: fields.OneTermEqualSelector("metadata.name", cfg.Name),
	})
	if err != nil {
		return nil, nil, fmt.Errorf("watch the game server: %w", err)
	}
	informer, err := watch.GetInformer(ctx, &v1.GameServer{}, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, nil, fmt.Errorf("watch the game server: %w", err)
	}
	registration, err := informer.AddEventHandler(server.Handler())
	if err != nil {
		return nil, nil, fmt.Errorf("watch the game server: %w", err)
	}
	return watch, registration.HasSynced, nil
}

func serve(ctx context.Context, cfg *Config, server *sdk.Server, watch cache.Cache, synced func() bool, started func(service.Addrs)) error {
	failed := make(chan error, 2)
	s, err := sdkserver.Serve(server, sdkserver.Options{
		GRPCListen: cfg.GRPCListen, HTTPListen: cfg.HTTPListen, NoPlayers: true,
		Failed: func(err error) { failed <- err },
	})
	if err != nil {
		return err
	}
	defer s.Close()
	lis, err := net.Listen("tcp", cfg.HealthListen)
	if err != nil {
		return fmt.Errorf("listen for health: %w", err)
	}
	health := &http.Server{Handler: probes(server, synced), ReadHeaderTimeout: cfg.ShutdownTimeout}
	service.LimitBodies(health)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := health.Serve(lis); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	group.Go(func() error { return watch.Start(ctx) })
	group.Go(func() error { return server.Run(ctx) })
	group.Go(func() error {
		defer func() { _ = health.Close() }()
		select {
		case err := <-failed:
			return err
		case <-ctx.Done():
			return nil
		}
	})
	if started != nil {
		started(service.Addrs{GRPC: s.GRPC, HTTP: s.HTTP, GRPCAll: []string{s.GRPC}, HTTPAll: []string{s.HTTP, lis.Addr().String()}})
	}
	return group.Wait()
}

// probes answers the kubelet. The SDK server is healthy once it has seen its game
// server.
func probes(server *sdk.Server, synced func() bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if !synced() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET "+pod.RunningPath, func(http.ResponseWriter, *http.Request) { server.Running() })
	return mux
}
