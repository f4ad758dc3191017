package redisclient_test

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"torikumi/pkg/redisclient"
)

func TestCheckRedis(t *testing.T) {
	for name, c := range map[string]struct {
		settings redisclient.Settings
		// wrong are the settings that the error names.
		wrong []string
	}{
		"none":               {},
		"plain":              {settings: redisclient.Settings{Redis: "redis://redis.example:6379"}},
		"TLS":                {settings: redisclient.Settings{Redis: "rediss://u:p@redis.example:6379/1", RedisCA: "ca.pem"}},
		"Sentinels":          {settings: redisclient.Settings{Redis: "redis://any:6379", RedisMaster: "m", RedisSentinels: []string{"s:26379"}}},
		"no URL":             {settings: redisclient.Settings{Redis: "redis.example:6379 secret"}, wrong: []string{"--redis:"}},
		"CA without Redis":   {settings: redisclient.Settings{RedisCA: "ca.pem"}, wrong: []string{"--redis:"}},
		"CA without TLS":     {settings: redisclient.Settings{Redis: "redis://r:1", RedisCA: "ca.pem"}, wrong: []string{"--redis-ca:"}},
		"master alone":       {settings: redisclient.Settings{Redis: "redis://r:1", RedisMaster: "m"}, wrong: []string{"--redis-master:"}},
		"Sentinels alone":    {settings: redisclient.Settings{Redis: "redis://r:1", RedisSentinels: []string{"s:1"}}, wrong: []string{"--redis-master:"}},
		"everything at once": {settings: redisclient.Settings{RedisMaster: "m"}, wrong: []string{"--redis:", "--redis-master:"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.settings.CheckRedis()
			if (err != nil) != (len(c.wrong) > 0) {
				t.Fatalf("got %v, want errors of %q", err, c.wrong)
			}
			for _, w := range c.wrong {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%v does not name %q", err, w)
				}
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("%v shows the URL", err)
			}
		})
	}
}

func TestRedisClient(t *testing.T) {
	server := miniredis.RunT(t)
	server.RequireUserAuth("torikumi", "word")
	client, err := (&redisclient.Settings{Redis: "redis://torikumi:word@" + server.Addr() + "/0"}).RedisClient()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Error(err)
	}
	empty := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, ca := range []string{empty, empty + ".gone"} {
		if _, err := (&redisclient.Settings{Redis: "rediss://r:1", RedisCA: ca}).RedisClient(); err == nil || !strings.Contains(err.Error(), "--redis-ca") {
			t.Errorf("%s: %v", ca, err)
		}
	}
}

// TestOptionsOfURL: what the URL says counts, with Sentinels too; what it does not say is ours.
func TestOptionsOfURL(t *testing.T) {
	for _, sentinels := range [][]string{nil, {"127.0.0.1:1"}} {
		for query, want := range map[string]struct {
			pool, retries, idle int
			read                time.Duration
		}{
			"": {max(128, 10*runtime.GOMAXPROCS(0)), 1, 0, 2 * time.Second},
			"?pool_size=7&max_retries=3&min_idle_conns=2&read_timeout=5s": {7, 3, 2, 5 * time.Second},
		} {
			s := redisclient.Settings{Redis: "redis://127.0.0.1:1" + query, RedisSentinels: sentinels}
			if sentinels != nil {
				s.RedisMaster = "m"
			}
			made, err := s.RedisClient()
			if err != nil {
				t.Fatal(err)
			}
			client, ok := made.(*redis.Client)
			if !ok {
				t.Fatalf("%T", made)
			}
			o := client.Options()
			if o.PoolSize != want.pool || o.MaxRetries != want.retries || o.MinIdleConns != want.idle || o.ReadTimeout != want.read || o.WriteTimeout != 2*time.Second {
				t.Errorf("%q, Sentinels %q: %d connections, %d retries, %d idle, %v to read, %v to write", query, sentinels, o.PoolSize, o.MaxRetries, o.MinIdleConns, o.ReadTimeout, o.WriteTimeout)
			}
			if err := made.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestWrongOptionsOfURL: an option with which the client would panic, fail each call or wait
// without end stops the start. The error names it, and shows nothing else of the URL.
func TestWrongOptionsOfURL(t *testing.T) {
	for query, want := range map[string]string{
		"pool_size=-1":                    "--redis: option pool_size must be from 1 to 10000",
		"pool_size=3000000000":            "--redis: option pool_size must be from 1 to 10000",
		"pool_size=many":                  "--redis: option pool_size must be a whole number",
		"min_idle_conns=-1":               "--redis: option min_idle_conns must be from 0 to 10000",
		"max_idle_conns=3000000000":       "--redis: option max_idle_conns must be from 0 to 10000",
		"max_active_conns=7&pool_size=8":  "--redis: option max_active_conns must be 0, for no limit, or from pool_size (8) to 10000",
		"max_concurrent_dials=-1":         "--redis: option max_concurrent_dials must be from 0 to 10000",
		"pipeline_pool_size=-2":           "--redis: option pipeline_pool_size must be from -1 to 10000",
		"pipeline_read_buffer_size=-1":    "--redis: option pipeline_read_buffer_size must be from 0 to 16777216",
		"pipeline_write_buffer_size=-1":   "--redis: option pipeline_write_buffer_size must be from 0 to 16777216",
		"max_retries=-2":                  "--redis: option max_retries must be from -1 to 10",
		"protocol=4":                      "--redis: option protocol must be from 2 to 3",
		"dial_timeout=0":                  "--redis: option dial_timeout must be from 10ms to 1m0s",
		"dial_timeout=-1":                 "--redis: option dial_timeout must be from 10ms to 1m0s",
		"read_timeout=0":                  "--redis: option read_timeout must be from 10ms to 1m0s",
		"read_timeout=2h":                 "--redis: option read_timeout must be from 10ms to 1m0s",
		"write_timeout=-1s":               "--redis: option write_timeout must be from 10ms to 1m0s",
		"write_timeout=1ms":               "--redis: option write_timeout must be from 10ms to 1m0s",
		"pool_timeout=0":                  "--redis: option pool_timeout must be from 10ms to 1m0s",
		"read_timeout=soon":               "--redis: option read_timeout must be a duration, as 2s",
		"pool_fifo=maybe":                 "--redis: option pool_fifo must be true or false",
		"skip_verify=true":                "--redis: option skip_verify works with rediss:// alone",
		"pool_sise=7":                     `--redis: there is no option "pool_sise"`,
		"db=secret":                       "--redis: option db must be a whole number",
		"x=1&pool_size=secret&protocol=9": "--redis: option pool_size must be a whole number\n--redis: there is no option \"x\"",
		"dial_timeout=0&pool_size=-1":     "--redis: option pool_size must be from 1 to 10000\n--redis: option dial_timeout must be from 10ms to 1m0s",
		"pool_size=7;read_timeout=1s":     "--redis: options must be name=value, with & between them",
		// redis://:1?secret=word@redis.example has a password with a question mark
		"secret=word@redis.example": "--redis: must be redis://[user:password@]host:port[/db], or rediss://",
	} {
		s := redisclient.Settings{Redis: "redis://torikumi:secret@127.0.0.1:1?" + query}
		if err := s.CheckRedis(); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", query, err, want)
		}
	}
	for _, query := range []string{
		"pool_size=1", "pool_size=10000&max_active_conns=10000", "pool_size=", "max_active_conns=0", "max_retries=-1", "max_retries=0", "protocol=2", "pipeline_pool_size=-1",
		"dial_timeout=1&read_timeout=10ms&write_timeout=1m&pool_timeout=5s", "min_retry_backoff=0&max_retry_backoff=-1", "conn_max_idle_time=0", "client_name=frontend",
	} {
		s := redisclient.Settings{Redis: "redis://127.0.0.1:1?" + query}
		if err := s.CheckRedis(); err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		client, err := s.RedisClient()
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestSkipVerify: it counts with Sentinels too. The name in the certificate is that of the host
// without them.
func TestSkipVerify(t *testing.T) {
	for _, sentinels := range []bool{false, true} {
		for _, skip := range []bool{false, true} {
			s := redisclient.Settings{Redis: fmt.Sprintf("rediss://redis.example:1?skip_verify=%v", skip)}
			name := "redis.example"
			if sentinels {
				s.RedisMaster, s.RedisSentinels, name = "m", []string{"127.0.0.1:1"}, ""
			}
			if err := s.CheckRedis(); err != nil {
				t.Error(err)
			}
			made, err := s.RedisClient()
			if err != nil {
				t.Fatal(err)
			}
			client, ok := made.(*redis.Client)
			if !ok {
				t.Fatalf("%T", made)
			}
			if c := client.Options().TLSConfig; c.InsecureSkipVerify != skip || c.ServerName != name || c.MinVersion != tls.VersionTLS12 {
				t.Errorf("Sentinels %v, skip %v: %v, of %q", sentinels, skip, c.InsecureSkipVerify, c.ServerName)
			}
			if err := made.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}
