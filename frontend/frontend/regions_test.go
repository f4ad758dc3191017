package frontend_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"torikumi/frontend/frontend"
	"torikumi/pkg/config"
	"torikumi/pkg/eventually"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// TestRegions: anybody may ask, by both protocols, and caches may keep the answer; it
// changes with the file.
func TestRegions(t *testing.T) {
	file := filepath.Join(t.TempDir(), "regions.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("regions:\n- {name: eu, udp: \"beacon-eu.example.com:7800\", http: \"https://beacon-eu.example.com/ping\"}\n- {name: us, udp: \"192.0.2.1:7800\"}\n")
	s := start(t, func(c *settings) { c.Regions = file })
	const want = `{"regions":[{"name":"eu","udp":"beacon-eu.example.com:7800","http":"https://beacon-eu.example.com/ping"},{"name":"us","udp":"192.0.2.1:7800"}]}`
	for _, player := range []string{"", "alice"} {
		r := s.do(player, "GET", "/v1/regions", "")
		if r.code != 200 || compact(t, r.body) != want || r.header.Get("Cache-Control") != "public, max-age=60" {
			t.Errorf("%q: %d %s %v", player, r.code, r.body, r.header)
		}
	}
	wrong := s.do("", "GET", "/v1/regions?near=eu", "")
	if c := wrong.header.Get("Cache-Control"); c != "no-store" || wrong.code != 400 || !strings.Contains(wrong.body, `"near"`) {
		t.Errorf("an unknown parameter: %d %s, to be kept: %q", wrong.code, wrong.body, c)
	}

	conn, err := grpc.NewClient(s.addrs.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	list, err := torikumiv1.NewFrontendServiceClient(conn).ListRegions(t.Context(), new(torikumiv1.ListRegionsRequest))
	if err != nil || len(list.GetRegions()) != 2 || list.GetRegions()[1].GetUdp() != "192.0.2.1:7800" {
		t.Errorf("%v, %v", list, err)
	}
	if _, err := torikumiv1.NewFrontendServiceClient(conn).ListTickets(t.Context(), new(torikumiv1.ListTicketsRequest)); err == nil {
		t.Error("tickets are listed without a token")
	}

	write("regions: [{name: asia, udp: \"192.0.2.2:7800\"}]")
	eventually.True(t, "the change is in force", func() bool { return strings.Contains(s.do("", "GET", "/v1/regions", "").body, "asia") })
	write("regions: [{name: asia}]")
	eventually.True(t, "the mistake is told", func() bool { return s.metric("torikumi_frontend_regions_last_reload_successful") == "0" })
	if body := s.do("", "GET", "/v1/regions", "").body; !strings.Contains(body, "192.0.2.2:7800") {
		t.Errorf("with a mistake in the file: %s", body)
	}
}

// compact takes the spaces out of JSON.
func compact(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(text)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestNoRegions: without a file there are none, and a wrong one keeps the frontend from
// starting.
func TestNoRegions(t *testing.T) {
	s := start(t, nil)
	if r := s.do("", "GET", "/v1/regions", ""); r.code != 200 || strings.TrimSpace(r.body) != `{"regions":[]}` {
		t.Errorf("%d %s", r.code, r.body)
	}
	cfg := new(frontend.Config)
	config.Default(cfg)
	cfg.Regions = filepath.Join(t.TempDir(), "none.yaml")
	if err := config.Validate(cfg); err == nil || !strings.Contains(err.Error(), "--regions: read regions: ") {
		t.Errorf("%v", err)
	}
}
