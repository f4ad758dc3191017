package failover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	ctrlconfig "sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"torikumi/failover/cloud"
	"torikumi/failover/internal/apihealth"
	"torikumi/failover/internal/controller"
	"torikumi/failover/internal/join"
	"torikumi/pkg/service"
)

const (
	name = "failover"
	// probeEvery is how often the API server is probed.
	probeEvery = 5 * time.Second
	// envPrefix is that of the settings' environment variables.
	envPrefix = "FAILOVER_"
	// leaseName is that of the leaders' lease.
	leaseName = "torikumi-failover"
)

// Run runs the controller until ctx ends, or until it no longer leads. started
// is called once its HTTP server listens; a replica that does not lead waits.
func Run(ctx context.Context, cfg *Config, started func(service.Addrs)) error {
	log := cfg.Logger(os.Stderr, name)
	ctrl.SetLogger(logr.FromSlogHandler(log.Handler())) // what the libraries log without being given a logger
	klog.SetSlogLogger(log)
	provider, err := openProvider(ctx, cfg, log)
	if err != nil {
		return fmt.Errorf("provider %q: %w", cfg.Provider, err)
	}
	if c, ok := provider.(io.Closer); ok {
		defer c.Close()
	}
	kube, err := podConfig(cfg.Kubeconfig)
	if err != nil {
		return err
	}
	if cfg.Check {
		return check(ctx, cfg, kube, provider, os.Stdout)
	}
	return run(ctx, cfg, parts{kube: kube, cloud: provider, log: log}, started)
}

// parts are what tests put in the place of the real ones.
type parts struct {
	kube  *rest.Config
	cloud cloud.Provider
	log   *slog.Logger
}

func run(ctx context.Context, cfg *Config, p parts, started func(service.Addrs)) error {
	registry, end := service.NewRegistry(), make(chan struct{})
	mgr, err := prepare(ctx, cfg, p, controller.NewMetrics(registry), end)
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return unreachable(p.kube, missingKind(err))
	}
	return service.Run(ctx, service.Options{
		Name: name, Config: cfg.Config, Logger: p.log, HTTPListen: []string{cfg.HTTPListen}, Registry: registry,
		Ready: map[string]func(context.Context) error{"cache": func(ctx context.Context) error {
			if !mgr.GetCache().WaitForCacheSync(ctx) {
				return errors.New("the cache has not seen the cluster yet")
			}
			return nil
		}},
		Background: []func(context.Context) error{
			func(ctx context.Context) error {
				context.AfterFunc(ctx, func() { close(end) })
				return mgr.Start(ctx)
			},
			func(ctx context.Context) error {
				logMissing(ctx, mgr.GetCache(), mgr.GetAPIReader(), cfg.approves(), p.log)
				return nil
			},
		},
		Started: started,
	})
}

// prepare makes a manager that has not started. The libraries ask the API
// server by a context of their own: who is told to stop does not wait for its
// answer, and nothing is done with it.
func prepare(ctx context.Context, cfg *Config, p parts, m *controller.Metrics, end <-chan struct{}) (ctrl.Manager, error) {
	var mgr ctrl.Manager
	made := make(chan error, 1)
	go func() {
		var err error
		if mgr, err = newManager(cfg, p, end); err == nil {
			err = register(ctx, cfg, p, mgr, m)
		}
		made <- err
	}()
	select {
	case err := <-made:
		return mgr, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func newManager(cfg *Config, p parts, end <-chan struct{}) (ctrl.Manager, error) {
	scheme, err := controller.Scheme()
	if err != nil {
		return nil, fmt.Errorf("scheme: %w", err)
	}
	limit, skip := cfg.ShutdownTimeout, true
	kube := rest.CopyConfig(p.kube)
	kube.UserAgent = "torikumi-failover"
	// client-go's own limit is 5 requests a second: an eternity when a dead
	// node's servers are to be deleted. The API server has limits of its own.
	kube.QPS, kube.Burst = 200, 400
	mgr, err := ctrl.NewManager(kube, ctrl.Options{
		Scheme: scheme,
		Cache:  controller.CacheOptions(),
		NewCache: func(kube *rest.Config, o cache.Options) (cache.Cache, error) {
			c, err := cache.New(kube, o)
			return untilEnd{c, end}, err
		},
		Logger: logr.FromSlogHandler(p.log.Handler()),
		// Our own server has health and metrics.
		Metrics:                       metricsserver.Options{BindAddress: "0"},
		HealthProbeBindAddress:        "0",
		LeaderElection:                !cfg.DryRun, // it must not keep the lease from who acts
		LeaderElectionID:              leaseName,
		LeaderElectionNamespace:       cfg.Namespace,
		LeaseDuration:                 &cfg.Lease,
		RenewDeadline:                 &cfg.LeaseRenew,
		RetryPeriod:                   &cfg.LeaseRetry,
		LeaderElectionReleaseOnCancel: true, // Run returns with the manager: nothing acts after it
		GracefulShutdownTimeout:       &limit,
		Controller:                    ctrlconfig.Controller{SkipNameValidation: &skip}, // tests run several in one process
	})
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	return mgr, nil
}

func register(ctx context.Context, cfg *Config, p parts, mgr ctrl.Manager, m *controller.Metrics) error {
	o, err := options(cfg)
	if err != nil {
		return err
	}
	live := mgr.GetAPIReader()
	if o.Cluster, err = controller.ClusterID(ctx, live); err != nil {
		return err
	}
	wall := apihealth.NewClock(apihealth.System(), p.log)
	monitor := apihealth.New(clock.RealClock{}, wall, probeEvery, func(ctx context.Context) error {
		_, err := controller.ClusterID(ctx, live)
		return err
	}, p.log)
	if err := mgr.Add(monitor); err != nil {
		return err
	}
	o.Client, o.Live, o.Cloud, o.Clock, o.Log, o.Metrics = mgr.GetClient(), live, p.cloud, clock.RealClock{}, p.log, m
	o.Events = mgr.GetEventRecorder("torikumi-failover")
	o.APIHealthySince, o.Skips = monitor.Since, wall.Skips
	if o.Versions, err = versions(cfg, p.kube, p.cloud); err != nil {
		return err
	}
	known, failed := o.Versions.Ask(ctx)
	logVersions(known, failed, p.log)
	o.Versions.Known = known
	if err := controller.Register(mgr, o); err != nil {
		return err
	}
	if err := checkCRD(ctx, live); err != nil || cfg.DryRun {
		return err
	}
	if err := checkPolicies(ctx, &o); err != nil || !cfg.approves() {
		return err
	}
	return checkApproval(ctx, mgr.GetClient())
}

// options are those parts of the controllers' options that are settings.
func options(cfg *Config) (controller.Options, error) {
	p, err := findProvider(cfg.Provider)
	if err != nil {
		return controller.Options{}, err
	}
	settings, err := cfg.settings()
	if err != nil {
		return controller.Options{}, err
	}
	labels, err := pairs("vm-labels", cfg.VMLabels)
	if err != nil {
		return controller.Options{}, err
	}
	// A connection that has come to a wrong place is not used again.
	fence := &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, DisableKeepAlives: true}}
	o := controller.Options{
		Settings: settings, FenceURL: cfg.FencingURL, FenceClient: fence, DryRun: cfg.DryRun,
		VM: cloud.Spec{
			Image: cfg.Image, DiskType: cfg.DiskType, Network: cfg.Network, Subnetwork: cfg.Subnetwork,
			DiskGB: cfg.DiskGB, Tags: cfg.Tags, Labels: labels,
		},
		Join:       join.Params{Endpoint: cfg.Endpoint, ExternalCloud: cfg.ExternalCloud, NodeIP: cfg.NodeIP, KubeletArgs: cfg.KubeletArgs, RequireKata: cfg.RequireKata, Taints: cfg.TempTaints, KeepCopy: p.forgets},
		ProviderID: p.providerID(cfg), TokenGroup: cfg.TokenGroup,
		Namespace: cfg.Namespace, ProbeImage: cfg.ProbeImage, ProbeRuntimeClass: cfg.ProbeRuntime,
	}
	if cfg.Hook != "" {
		hook, err := os.ReadFile(cfg.Hook)
		if err != nil {
			return o, fmt.Errorf("read the join hook: %w", err)
		}
		o.Join.Hook = string(hook)
	}
	return o, nil
}
