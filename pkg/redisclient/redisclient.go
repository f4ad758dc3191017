// Package redisclient has the settings of a connection to Redis, and makes it.
package redisclient

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"torikumi/pkg/config"
)

// A call of Redis fails after its tries, so that callers are told soon.
const (
	callTimeout = 2 * time.Second
	retries     = 1
	// connections are how many calls may be under way at least. Redis writes all that has
	// come meanwhile to its disk at once, and answers then: so it takes many at a time,
	// however few CPUs there are.
	connections = 128
)

// defaults are those of what the URL does not say.
func defaults(o *redis.Options) {
	o.DialTimeout = cmp.Or(o.DialTimeout, callTimeout)
	o.ReadTimeout = cmp.Or(o.ReadTimeout, callTimeout)
	o.WriteTimeout = cmp.Or(o.WriteTimeout, callTimeout)
	o.MaxRetries = cmp.Or(o.MaxRetries, retries)
	o.PoolSize = cmp.Or(o.PoolSize, max(connections, 10*runtime.GOMAXPROCS(0)))
	o.DialerRetries, o.ContextTimeoutEnabled = 1, true
}

// Settings say which Redis frontends and directors share. A service's Config embeds
// them.
type Settings struct {
	Redis          string   `flag:"redis" secret:"true" help:"Redis that keeps tickets and claims, for more than one frontend or director: redis://[user:password@]host:port[/db], or rediss:// for TLS; options of the connection behind it, as ?pool_size=200. None when not given."`
	RedisMaster    string   `flag:"redis-master" help:"Name of the master that the Sentinels know; the host of --redis does not matter then."`
	RedisSentinels []string `flag:"redis-sentinels" rule:"host:port" help:"Sentinels that know where the master is, with commas between."`
	RedisCA        string   `flag:"redis-ca" help:"PEM file with the authorities of Redis's certificate; those of the system when not given."`
	RedisPrefix    string   `flag:"redis-prefix" default:"torikumi" required:"it keeps the keys apart from others'" help:"Beginning of all keys in Redis. Frontends with the same one share their tickets, and directors their claims on them."`
}

// CheckRedis reports which settings are wrong.
func (c *Settings) CheckRedis() error {
	var errs []error
	bad := func(flag, rule string) { errs = append(errs, &config.Error{Setting: "--" + flag, Rule: rule}) }
	var options *redis.Options
	if c.Redis != "" {
		var wrong []string
		options, wrong = parse(c.Redis)
		for _, rule := range wrong {
			bad("redis", rule)
		}
	}
	switch {
	case c.Redis == "" && (c.RedisMaster != "" || len(c.RedisSentinels) > 0 || c.RedisCA != ""):
		bad("redis", "must be given with the other settings of Redis")
	case options != nil && c.RedisCA != "" && options.TLSConfig == nil:
		bad("redis-ca", "works with rediss:// alone")
	}
	if (c.RedisMaster == "") != (len(c.RedisSentinels) == 0) {
		bad("redis-master", "and --redis-sentinels must be given together")
	}
	return errors.Join(errs...)
}

// RedisClient makes the connection; nothing is sent yet. The client's own log, of
// each try to connect, is silent from then on: who uses it logs when Redis is lost.
func (c *Settings) RedisClient() (redis.UniversalClient, error) {
	silence()
	options, err := redis.ParseURL(c.Redis)
	if err != nil {
		return nil, errors.New("--redis: it is no URL of a Redis") // CheckRedis has seen it
	}
	if c.RedisCA != "" {
		if options.TLSConfig.RootCAs, err = authorities(c.RedisCA); err != nil {
			return nil, fmt.Errorf("--redis-ca: %w", err)
		}
	}
	defaults(options)
	if c.RedisMaster == "" {
		return redis.NewClient(options), nil
	}
	if options.TLSConfig != nil {
		// The name in the certificate is that of whoever is master.
		options.TLSConfig = options.TLSConfig.Clone()
		options.TLSConfig.ServerName = ""
	}
	return redis.NewFailoverClient(c.failover(options)), nil
}

// failover are the options of a client that asks the Sentinels: all that a URL can say, but
// for the address.
func (c *Settings) failover(o *redis.Options) *redis.FailoverOptions {
	return &redis.FailoverOptions{
		MasterName: c.RedisMaster, SentinelAddrs: c.RedisSentinels,
		Username: o.Username, Password: o.Password, DB: o.DB, TLSConfig: o.TLSConfig, Protocol: o.Protocol, ClientName: o.ClientName,
		DialTimeout: o.DialTimeout, ReadTimeout: o.ReadTimeout, WriteTimeout: o.WriteTimeout, ContextTimeoutEnabled: o.ContextTimeoutEnabled,
		MaxRetries: o.MaxRetries, MinRetryBackoff: o.MinRetryBackoff, MaxRetryBackoff: o.MaxRetryBackoff, DialerRetries: o.DialerRetries,
		PoolFIFO: o.PoolFIFO, PoolSize: o.PoolSize, PoolTimeout: o.PoolTimeout, MaxConcurrentDials: o.MaxConcurrentDials,
		MinIdleConns: o.MinIdleConns, MaxIdleConns: o.MaxIdleConns, MaxActiveConns: o.MaxActiveConns,
		ConnMaxIdleTime: o.ConnMaxIdleTime, ConnMaxLifetime: o.ConnMaxLifetime, ConnMaxLifetimeJitter: o.ConnMaxLifetimeJitter,
		PipelinePoolSize: o.PipelinePoolSize, PipelineReadBufferSize: o.PipelineReadBufferSize, PipelineWriteBufferSize: o.PipelineWriteBufferSize,
	}
}

func authorities(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate", file)
	}
	return pool, nil
}

// silence is done once: the library's log is the process's.
var silence = sync.OnceFunc(func() { redis.SetLogger(quiet{}) })

type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}
