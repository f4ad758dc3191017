package frontend

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/redis/go-redis/v9"

	"torikumi/frontend/internal/ticket"
	"torikumi/frontend/internal/ticket/redisstore"
	"torikumi/pkg/config"
)

// A call of Redis fails after its tries, so that players are told soon.
const (
	redisTimeout = 2 * time.Second
	redisRetries = 1
)

// RedisConfig says which Redis keeps the tickets of several frontends.
type RedisConfig struct {
	Redis          string   `flag:"redis" secret:"true" help:"Redis that keeps the tickets, for more than one frontend: redis://[user:password@]host:port[/db], or rediss:// for TLS. In memory when not given."`
	RedisMaster    string   `flag:"redis-master" help:"Name of the master that the Sentinels know; the host of --redis does not matter then."`
	RedisSentinels []string `flag:"redis-sentinels" rule:"host:port" help:"Sentinels that know where the master is, with commas between."`
	RedisCA        string   `flag:"redis-ca" help:"PEM file with the authorities of Redis's certificate; those of the system when not given."`
	RedisPrefix    string   `flag:"redis-prefix" default:"torikumi" required:"it keeps the keys apart from others'" help:"Beginning of all keys in Redis. Frontends with the same one share their tickets."`
}

// validate reports which settings are wrong.
func (c *RedisConfig) validate() error {
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

// client makes the connection; nothing is sent yet.
func (c *RedisConfig) client() (redis.UniversalClient, error) {
	options, err := redis.ParseURL(c.Redis)
	if err != nil {
		return nil, errors.New("--redis: it is no URL of a Redis") // validate has seen it
	}
	if c.RedisCA != "" {
		if options.TLSConfig.RootCAs, err = authorities(c.RedisCA); err != nil {
			return nil, fmt.Errorf("--redis-ca: %w", err)
		}
	}
	if c.RedisMaster == "" {
		options.DialTimeout, options.ReadTimeout, options.WriteTimeout = redisTimeout, redisTimeout, redisTimeout
		options.MaxRetries, options.DialerRetries, options.ContextTimeoutEnabled = redisRetries, 1, true
		return redis.NewClient(options), nil
	}
	if options.TLSConfig != nil {
		// The name in the certificate is that of whoever is master.
		options.TLSConfig = &tls.Config{RootCAs: options.TLSConfig.RootCAs, MinVersion: tls.VersionTLS12}
	}
	return redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName: c.RedisMaster, SentinelAddrs: c.RedisSentinels,
		Username: options.Username, Password: options.Password, DB: options.DB, TLSConfig: options.TLSConfig,
		DialTimeout: redisTimeout, ReadTimeout: redisTimeout, WriteTimeout: redisTimeout,
		MaxRetries: redisRetries, DialerRetries: 1, ContextTimeoutEnabled: true,
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

// openStore opens Redis, or the memory of this frontend alone.
func (p *parts) openStore() (ticket.Store, error) {
	limits := ticket.Limits{
		Timeout: p.cfg.TicketTimeout, Assigned: p.cfg.Retention, Ended: p.cfg.EndedRetention, Tickets: p.cfg.MaxTickets,
	}
	if p.cfg.Redis == "" {
		return ticket.NewMemory(limits), nil
	}
	client, err := p.cfg.client()
	if err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		host = name
	}
	store := redisstore.Open(redisstore.Options{
		Client: client, Prefix: p.cfg.RedisPrefix, Name: host + "-" + rand.Text()[:8], Limits: limits, Logger: p.logger,
	})
	p.storeReached = store.Reached
	p.closers = append(p.closers, func() {
		store.Stop()
		_ = client.Close() // nothing is under way any more
	})
	return store, nil
}

// storeReady reports an error until Redis has answered once: a frontend that is told
// of a wrong one never takes the place of one that works. A Redis that goes away
// later makes no frontend unready, since all would go at once.
func (p *parts) storeReady(context.Context) error {
	if p.storeReached != nil && !p.storeReached() {
		return errors.New("Redis has not been reached yet")
	}
	return nil
}
