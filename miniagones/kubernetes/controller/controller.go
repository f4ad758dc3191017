// Package controller is miniagones in a cluster: it makes Fleets and GameServers,
// with Agones's names, into pods, and hands them out as Agones does. It stands
// where Agones stands on the player's path, for CI and laptops.
package controller

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"torikumi/miniagones/kubernetes/internal/aggregated"
	"torikumi/miniagones/kubernetes/internal/allocate"
	"torikumi/miniagones/kubernetes/internal/certs"
	"torikumi/miniagones/kubernetes/internal/kube"
	"torikumi/pkg/service"
)

const name = "miniagones"

// Main is Run as all that a process does: what the libraries log goes where the
// controller logs.
func Main(ctx context.Context, cfg *Config, started func(service.Addrs)) error {
	kube.LogTo(cfg.Logger(os.Stderr, name))
	return Run(ctx, cfg, started)
}

// Run runs the controller until ctx ends, or until it no longer leads. A replica
// that does not lead allocates all the same. started is called once, when
// everything listens. The settings must be valid.
func Run(ctx context.Context, cfg *Config, started func(service.Addrs)) error {
	log := cfg.Logger(os.Stderr, name)
	config, err := kube.Config(cfg.Kubeconfig)
	if err != nil {
		return err
	}
	return run(ctx, cfg, config, log, started)
}

// parts are what serves.
type parts struct {
	cfg    *Config
	config *rest.Config
	log    *slog.Logger
	mgr    ctrl.Manager
	// direct asks the API server, and changes what the cache does not have.
	direct    client.Client
	allocator *allocate.Allocator

	store *certs.Store
	api   *http.Server
	lis   net.Listener
	front *aggregated.FrontProxy
}

func run(ctx context.Context, cfg *Config, config *rest.Config, log *slog.Logger, started func(service.Addrs)) error {
	p := &parts{cfg: cfg, config: config, log: log}
	var err error
	if p.mgr, err = newManager(cfg, config, log); err != nil {
		return err
	}
	if p.direct, err = client.New(config, client.Options{Scheme: p.mgr.GetScheme()}); err != nil {
		return fmt.Errorf("connect to the cluster: %w", err)
	}
	if err := p.open(ctx); err != nil {
		return err
	}
	s := &allocate.Service{Allocator: p.allocator, Client: p.mgr.GetClient(), Live: p.mgr.GetAPIReader(), Log: log}
	var options []grpc.ServerOption
	if p.store != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(p.store.Server())))
	}
	return service.Run(ctx, service.Options{
		Name: name, Config: cfg.Config, Logger: log, GRPCListen: []string{cfg.GRPCListen}, HTTPListen: []string{cfg.HTTPListen},
		Register: s.Register, ServerOptions: options, Background: p.background(),
		Ready: map[string]func(context.Context) error{"cache": func(ctx context.Context) error {
			if !p.mgr.GetCache().WaitForCacheSync(ctx) {
				return errors.New("the cache has not seen the cluster yet")
			}
			return nil
		}},
		Started: func(a service.Addrs) {
			if p.lis != nil {
				a.HTTPAll = append(a.HTTPAll, p.lis.Addr().String())
			}
			if started != nil {
				started(a)
			}
		},
	})
}

// open prepares what depends on the cluster.
func (p *parts) open(ctx context.Context) error {
	p.allocator = allocate.New(p.mgr.GetClient(), p.mgr.GetAPIReader())
	if err := register(ctx, p); err != nil {
		return err
	}
	if p.cfg.AllocatorInsecure {
		return nil
	}
	secrets, err := p.cfg.clientSecrets()
	if err != nil {
		return err
	}
	o := certs.Options{
		Client: p.direct, Namespace: p.cfg.Namespace, SelfSigned: p.cfg.SelfSigned, Hosts: p.cfg.Hosts, ClientSecrets: secrets, Log: p.log,
	}
	if p.cfg.APIListen != "" {
		o.APIHosts = []string{name + "." + p.cfg.Namespace + ".svc"}
	}
	p.store, err = certs.New(ctx, o)
	if err != nil || p.cfg.APIListen == "" {
		return err
	}
	return p.openAPI(ctx)
}

// openAPI prepares GameServerAllocation.
func (p *parts) openAPI(ctx context.Context) error {
	var err error
	if p.front, err = aggregated.NewFrontProxy(ctx, p.direct, p.log); err != nil {
		return fmt.Errorf("--api-listen: %w", err)
	}
	if p.cfg.SelfSigned {
		if err := trust(ctx, p.direct, p.store.CA()); err != nil {
			return err
		}
	}
	if p.lis, err = net.Listen("tcp", p.cfg.APIListen); err != nil {
		return fmt.Errorf("listen for the API server: %w", err)
	}
	p.api = &http.Server{
		Handler:           aggregated.New(aggregated.Options{Allocator: p.allocator, FrontProxy: p.front, Reviews: p.direct, Log: p.log}),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(p.log.Handler(), slog.LevelDebug),
	}
	service.LimitBodies(p.api)
	return nil
}

func (p *parts) background() []func(context.Context) error {
	all := []func(context.Context) error{p.mgr.Start}
	if p.store != nil {
		all = append(all, p.store.Run)
	}
	if p.api != nil {
		all = append(all, p.front.Run, p.serveAPI)
	}
	return all
}

func (p *parts) serveAPI(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		limit, cancel := context.WithTimeout(context.Background(), p.cfg.ShutdownTimeout)
		defer cancel()
		if err := p.api.Shutdown(limit); err != nil {
			_ = p.api.Close() // the limit is over: cut what is left
		}
	})
	defer stop()
	err := p.api.Serve(tls.NewListener(p.lis, p.front.TLS(p.store.API)))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
