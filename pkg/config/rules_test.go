package config_test

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"torikumi/pkg/config"
)

type ruled struct {
	Many    int           `flag:"many" default:"1" rule:"at least 1"`
	Rest    int64         `flag:"rest" rule:"not negative"`
	Share   float64       `flag:"share" default:"0.5" rule:"above 0 and at most 1"`
	Rate    float64       `flag:"rate" default:"1" rule:"from 0.1 to 10"`
	Pause   time.Duration `flag:"pause" default:"1s" rule:"from 100ms to 5s"`
	Wait    time.Duration `flag:"wait" default:"1s" rule:"positive"`
	Server  string        `flag:"server" default:"a:1" rule:"host:port"`
	Other   string        `flag:"other" rule:"host:port"`
	Either  string        `flag:"either" default:"none" rule:"host:port or none"`
	Listen  string        `flag:"listen" default:":0" rule:"listen"`
	URL     string        `flag:"url" rule:"url"`
	IP      string        `flag:"ip" rule:"IP address"`
	Format  string        `flag:"format" default:"text" rule:"text, json or xml"`
	Names   []string      `flag:"names" default:"a" rule:"a or b" required:"somebody has to"`
	Secrets []string      `flag:"secrets" rule:"x or y" secret:"true"`
}

func TestRules(t *testing.T) {
	for _, tt := range []struct {
		change func(*ruled)
		want   string // "" if nothing is wrong
	}{
		{func(*ruled) {}, ""},
		{func(r *ruled) { r.Many = 0 }, `--many: must be at least 1, got "0"`},
		{func(r *ruled) { r.Rest = -1 }, `--rest: must not be negative, got "-1"`},
		{func(r *ruled) { r.Either = "a:1" }, ""},
		{func(r *ruled) { r.Either = "host:port" }, `--either: must be host:port or none, got "host:port"`},
		{func(r *ruled) { r.Share = 0 }, `--share: must be above 0 and at most 1, got "0"`},
		{func(r *ruled) { r.Share = 1 }, ""},
		{func(r *ruled) { r.Share = math.NaN() }, `--share: must be above 0 and at most 1, got "NaN"`},
		{func(r *ruled) { r.Rate = 0.1 }, ""},
		{func(r *ruled) { r.Rate = math.Inf(1) }, `--rate: must be from 0.1 to 10, got "+Inf"`},
		{func(r *ruled) { r.Rate = math.NaN() }, `--rate: must be from 0.1 to 10, got "NaN"`},
		{func(r *ruled) { r.Pause = 5 * time.Second }, ""},
		{func(r *ruled) { r.Pause = 99 * time.Millisecond }, `--pause: must be from 100ms to 5s, got "99ms"`},
		{func(r *ruled) { r.Wait = 0 }, `--wait: must be positive, got "0s"`},
		{func(r *ruled) { r.Server = "a" }, `--server: must be host:port, got "a"`},
		{func(r *ruled) { r.Server = ":1" }, `--server: must be host:port, got ":1"`},
		{func(r *ruled) { r.Server = "a:0" }, `--server: must be host:port, got "a:0"`},
		{func(r *ruled) { r.Server = "" }, `--server: must be host:port`},
		{func(r *ruled) { r.Other = "[::1]:80" }, ""},
		{func(r *ruled) { r.Server = "[::1%lo]:80" }, `--server: must be host:port, without an IPv6 zone, got "[::1%lo]:80"`},
		{func(r *ruled) { r.Server = "[fe80::1%25eth0]:80" }, `--server: must be host:port, without an IPv6 zone, got "[fe80::1%25eth0]:80"`},
		{func(r *ruled) { r.Server = "[::1%lo]:0" }, `--server: must be host:port, got "[::1%lo]:0"`},
		{func(r *ruled) { r.Server = "[fe80::1%]:80" }, `--server: must be host:port, got "[fe80::1%]:80"`},
		{func(r *ruled) { r.Either = "[::1%lo]:80" }, `--either: must be host:port or none, without an IPv6 zone, got "[::1%lo]:80"`},
		{func(r *ruled) { r.Listen = "[::1%lo]:80" }, ""},
		{func(r *ruled) { r.Listen = "[::1%lo]:65536" }, `--listen: must be host:port, got "[::1%lo]:65536"`},
		{func(r *ruled) { r.Listen = "a:65536" }, `--listen: must be host:port, got "a:65536"`},
		{func(r *ruled) { r.Listen = "80" }, `--listen: must be host:port, got "80"`},
		{func(r *ruled) { r.IP = "::1" }, ""},
		{func(r *ruled) { r.IP = "localhost" }, `--ip: must be an IP address, got "localhost"`},
		{func(r *ruled) { r.URL = "http://a/b" }, ""},
		{func(r *ruled) { r.URL = "ftp://a" }, `--url: must be an absolute http or https URL, got "ftp://a"`},
		{func(r *ruled) { r.URL = "/b" }, `--url: must be an absolute http or https URL, got "/b"`},
		{func(r *ruled) { r.Format = "json" }, ""},
		{func(r *ruled) { r.Format = "yaml" }, `--format: must be text, json or xml, got "yaml"`},
		{func(r *ruled) { r.Names = nil }, `--names: required: somebody has to`},
		{func(r *ruled) { r.Names = []string{"b", "c"} }, `--names: must be a or b, got "c"`},
		{func(r *ruled) { r.Secrets = []string{"hunter2"} }, `--secrets: must be x or y`},
	} {
		r := new(ruled)
		config.Default(r)
		tt.change(r)
		got := ""
		if err := config.Validate(r); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("got %s\nwant %s", got, tt.want)
		}
	}
}

func TestIsHost(t *testing.T) {
	for host, want := range map[string]bool{
		"1.2.3.4": true, "::1": true, "fe80::1": true, "::ffff:1.2.3.4": true, "localhost": true, "a_b.example.": true, "dns": true,
		"": false, "[::1]": false, "fe80::1%lo": false, "fe80::1%25lo": false, "fe80::1%": false, "::ffff:1.2.3.4%lo": false,
		"1.2.3.4%lo": false, "localhost%lo": false, "a b": false, "a/b": false, "a@b": false, "a:1": false,
	} {
		if got := config.IsHost(host); got != want {
			t.Errorf("IsHost(%q) = %v, want %v", host, got, want)
		}
	}
}

// What is wrong with a tag shows with the first use of the settings.
func TestWrongTag(t *testing.T) {
	for name, cfg := range map[string]any{
		"no rule": &struct {
			N int `flag:"n" rule:"nice"`
		}{},
		"no duration": &struct {
			D time.Duration `flag:"d" rule:"at least 1"`
		}{},
		"another type's": &struct {
			S string `flag:"s" rule:"positive"`
		}{},
		"none for a bool": &struct {
			B bool `flag:"b" rule:"true or false"`
		}{},
	} {
		t.Run(name, func(t *testing.T) {
			err := config.Load("svc", "", cfg, nil, func(string) string { return "" }, &bytes.Buffer{})
			var wrong *config.Error
			if err == nil || errors.As(err, &wrong) || !strings.Contains(err.Error(), "is no rule for a") {
				t.Errorf("error = %v", err)
			}
		})
	}
}
