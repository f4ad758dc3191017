package clusterattach

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync/atomic"

	"torikumi/gameserver/gate"
	"torikumi/miniagones/kubernetes/attach"
	"torikumi/pkg/agones"
	"torikumi/pkg/config"
	"torikumi/pkg/service"
	"torikumi/pkg/token"
)

// gates starts the gates of the servers of a cluster, one after the other.
type gates struct {
	cfg     *Config
	cluster *attach.Cluster
	log     *slog.Logger
	out     io.Writer
	run     func(context.Context, *gate.Config, func(service.Addrs)) error // gate.Run

	keys     string // where the gate finds the frontend's keys
	stopKeys func()
}

func (c *gates) close() {
	if c.stopKeys != nil {
		c.stopKeys()
	}
}

// settings are those of the gate: the command's own before the Fleet's.
func (c *gates) settings(s attach.GateSettings) (attach.GateSettings, error) {
	for _, of := range []struct{ to, own *string }{{&s.Issuer, &c.cfg.Issuer}, {&s.JWKSURL, &c.cfg.JWKSURL}} {
		if *of.own != "" {
			*of.to = *of.own
		}
	}
	var errs []error
	if s.Issuer == "" {
		errs = append(errs, config.Missing("issuer", "the gates of the Fleet do not say theirs"))
	}
	if s.JWKSURL == "" {
		errs = append(errs, config.Missing("jwks-url", "the gates of the Fleet do not say theirs"))
	}
	return s, errors.Join(errs...)
}

// start is attach.Options.Gate. The first one says what the server needs.
func (c *gates) start(ctx context.Context, s attach.Server, failed func(error)) (stop func(), err error) {
	settings, err := c.settings(s.Gate)
	if err != nil {
		return nil, err
	}
	if c.stopKeys == nil {
		if c.keys, c.stopKeys, err = c.cluster.Keys(settings.JWKSURL); err != nil {
			return nil, err
		}
		if _, err := token.NewRemoteKeys(token.RemoteOptions{URL: c.keys, AllowHTTP: c.cfg.AllowHTTP, Algorithms: []token.Algorithm{token.RS256}}); err != nil {
			return nil, config.Invalid("jwks-url", "must be https, or inside the cluster, or on this machine; --allow-http-jwks takes plain HTTP too", settings.JWKSURL)
		}
		if err := attach.CheckKeys(ctx, c.keys); err != nil {
			return nil, fmt.Errorf("the frontend's keys at %s (--jwks-url names another place): %w", settings.JWKSURL, err)
		}
		c.explain(s)
	}
	cfg := c.gateConfig(settings)
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	started, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		var runs atomic.Bool
		err := c.run(ctx, cfg, func(service.Addrs) { runs.Store(true); started <- struct{}{} })
		if runs.Load() && ctx.Err() == nil {
			failed(cmp.Or(err, errors.New("it has ended")))
		}
		ended <- err
	}()
	select {
	case <-started:
		return func() {
			cancel()
			if err := <-ended; err != nil {
				c.log.Error("gate ended", "error", err)
			}
		}, nil
	case err := <-ended:
		cancel()
		return nil, err
	}
}

// gateConfig is that of a gate without a journal: none is started again within a match.
func (c *gates) gateConfig(settings attach.GateSettings) *gate.Config {
	cfg := new(gate.Config)
	config.Default(cfg)
	cfg.LogLevel, cfg.LogFormat = slog.LevelWarn, "text"
	cfg.HTTPListen = c.gateAddr()
	cfg.Issuer, cfg.JWKSURL, cfg.AllowHTTPKeys = settings.Issuer, c.keys, c.cfg.AllowHTTP
	if settings.Algorithm != "" {
		cfg.Algorithm = token.Algorithm(settings.Algorithm)
	}
	cfg.SDKPort, cfg.SDKHTTPPort = c.cfg.SDKGRPC, c.cfg.SDKHTTP
	return cfg
}

func (c *gates) gateAddr() string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(c.cfg.Gate))
}

// explain prints what the server has to know.
func (c *gates) explain(s attach.Server) {
	c.cfg.server().Banner(c.out, "namespace "+s.Namespace, "torikumi", []string{
		fmt.Sprintf("%s=%d", agones.SDKGRPCPortEnv, c.cfg.SDKGRPC), fmt.Sprintf("%s=%d", agones.SDKHTTPPortEnv, c.cfg.SDKHTTP),
		fmt.Sprintf("PORT=%d", c.cfg.Port), "TORIKUMI_HOST=" + c.cfg.Host, "TORIKUMI_GATE=http://" + c.gateAddr(),
	}, "Players come to it in a match of its queues, with your client at the frontend of the cluster.")
}
