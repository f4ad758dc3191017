package regions

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"torikumi/pkg/eventually"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParse(t *testing.T) {
	many := "regions:\n"
	for i := range Max + 1 {
		many += fmt.Sprintf("- {name: r%d, udp: \"a:1\"}\n", i)
	}
	for text, want := range map[string]string{
		"":                               "regions: there must be 1 to 64, got 0",
		"regions: []":                    "regions: there must be 1 to 64, got 0",
		many:                             "regions: there must be 1 to 64, got 65",
		"regions: [{name: eu}]":          "regions[0].udp: required, or http",
		"regions: [{udp: \"a:1\"}]":      `regions[0].name: must be unique, and must have 1 to 64 characters of [A-Za-z0-9_.-], got ""`,
		"regions: [{name: a b, udp: x}]": `regions[0].name: must be unique`,
		"regions: [{name: a, udp: \"b:1\"}, {name: a, udp: \"b:1\"}]": `regions[1].name: must be unique`,
		"regions: [{name: a, udp: b}]":                                `regions[0].udp: must be host:port, got "b"`,
		"regions: [{name: a, udp: \"b:0\"}]":                          `regions[0].udp: must be host:port, got "b:0"`,
		"regions: [{name: a, udp: \":1\"}]":                           `regions[0].udp: must be host:port, got ":1"`,
		"regions: [{name: a, http: \"b:1\"}]":                         `regions[0].http: must be an absolute http or https URL`,
		"regions: [{name: a, http: \"ftp://b/\"}]":                    `regions[0].http: must be an absolute`,
		"regions: [{name: a, http: \"https://u:p@b/\"}]":              `regions[0].http: must be an absolute`,
		"regions: [{name: a, http: \"https://b/?key=1\"}]":            `regions[0].http: must be an absolute`,
		"regions: [{name: a, tcp: \"b:1\"}]":                          `unknown field "tcp"`,
		"queues: []":                                                  `unknown field "queues"`,
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	all, err := Parse([]byte("regions:\n- {name: eu, udp: \"[2001:db8::1]:7800\", http: \"https://b.example/ping\"}\n- {name: us, http: \"http://127.0.0.1:7801/ping\"}"))
	if err != nil || len(all.GetRegions()) != 2 || all.GetRegions()[0].GetUdp() != "[2001:db8::1]:7800" || all.GetRegions()[1].GetHttp() != "http://127.0.0.1:7801/ping" {
		t.Errorf("%v, %v", all, err)
	}
}

// TestLive: the file is followed, and a mistake in it, or its loss, changes nothing.
func TestLive(t *testing.T) {
	file := filepath.Join(t.TempDir(), "regions.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	registry := prometheus.NewRegistry()
	logger := slog.New(slog.DiscardHandler)
	if _, err := NewLive(file, registry, logger); err == nil || !strings.Contains(err.Error(), "read regions: ") {
		t.Errorf("without a file: %v", err)
	}
	if _, err := NewLive(filepath.Dir(file), registry, logger); err == nil || !strings.Contains(err.Error(), "must be a regular file") {
		t.Errorf("a folder: %v", err)
	}
	write("regions: [{name: eu, udp: \"a:1\"}]")
	l, err := NewLive(file, registry, logger)
	if err != nil {
		t.Fatal(err)
	}
	l.every = time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	first := func() string { return l.Current().GetRegions()[0].GetName() }
	healthy := func() bool { return testutil.ToFloat64(l.successful) == 1 }
	write("regions: [{name: us, udp: \"a:1\"}]")
	eventually.True(t, "the change is in force", func() bool { return first() == "us" })
	for _, wrong := range []string{"regions: [{name: us}]", strings.Repeat("#", maxFile+1), ""} {
		write(wrong)
		eventually.True(t, "it is refused", func() bool { return !healthy() })
		if first() != "us" {
			t.Errorf("%.20q is in force: %v", wrong, l.Current())
		}
		write("regions: [{name: us, udp: \"a:1\"}]")
		eventually.True(t, "it is right again", healthy)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "the loss is told", func() bool { return !healthy() })
	if first() != "us" {
		t.Errorf("without the file: %v", l.Current())
	}
}

// TestNone: without a file there are no regions.
func TestNone(t *testing.T) {
	l, err := NewLive("", prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil || len(l.Current().GetRegions()) != 0 {
		t.Errorf("%v, %v", l.Current(), err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("regions: [{name: eu, udp: \"a:1\", http: \"https://a/ping\"}]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := Parse(text)
		if (all == nil) == (err == nil) {
			t.Fatalf("%v, %v", all, err)
		}
		for _, r := range all.GetRegions() {
			if !namePattern.MatchString(r.GetName()) || r.GetUdp() == "" && r.GetHttp() == "" {
				t.Errorf("%q is taken: %v", text, r)
			}
		}
	})
}
