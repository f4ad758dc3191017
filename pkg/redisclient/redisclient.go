// Package redisclient has the settings of a connection to Redis, and makes it.
package redisclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"torikumi/pkg/config"
)

// A call of Redis fails after its tries, so that callers are told soon.
const (
	callTimeout = 2 * time.Second
	retries     = 1
)

// Settings say which Redis frontends and directors share. A service's Config embeds
// them.
type Settings struct {
	Redis          string   `flag:"redis" secret:"true" help:"Redis that keeps tickets and claims, for more than one frontend or director: redis://[user:password@]host:port[/db], or rediss:// for TLS. None when not given."`
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
		var err error
		if options, err = redis.ParseURL(c.Redis); err != nil {
			// Its text may hold the password.
			bad("redis", "must be redis://[user:password@]host:port[/db], or rediss://")
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
	if c.RedisMaster == "" {
		options.DialTimeout, options.ReadTimeout, options.WriteTimeout = callTimeout, callTimeout, callTimeout
		options.MaxRetries, options.DialerRetries, options.ContextTimeoutEnabled = retries, 1, true
		return redis.NewClient(options), nil
	}
	if options.TLSConfig != nil {
		// The name in the certificate is that of whoever is master.
		options.TLSConfig = &tls.Config{RootCAs: options.TLSConfig.RootCAs, MinVersion: tls.VersionTLS12}
	}
	return redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName: c.RedisMaster, SentinelAddrs: c.RedisSentinels,
		Username: options.Username, Password: options.Password, DB: options.DB, TLSConfig: options.TLSConfig,
		DialTimeout: callTimeout, ReadTimeout: callTimeout, WriteTimeout: callTimeout,
		MaxRetries: retries, DialerRetries: 1, ContextTimeoutEnabled: true,
	}), nil
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
