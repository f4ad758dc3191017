package redisclient_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"

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
