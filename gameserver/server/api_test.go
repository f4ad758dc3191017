package server_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"torikumi/gameserver/gate"
	"torikumi/gameserver/internal/gateapi"
	"torikumi/gameserver/internal/harness"
	"torikumi/gameserver/server"
	"torikumi/pkg/problem"
	"torikumi/pkg/service"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// call returns status, media type and body.
func (s *gameHarness) call(method, path, media, body string) (int, string, []byte) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(limited(s.t), method, s.server.Gate+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", media)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Content-Type"), data
}

// The game server learns from its gate how many bots fill its match up; who is
// expected is players alone.
func TestRosterBots(t *testing.T) {
	s := start(t)
	roster := harness.Roster("ann")
	roster.Teams = append(roster.Teams, &torikumiv1.Team{Name: "robots", Bots: 3})
	s.sdk.Give(match, roster)
	s.until("the gate knows the match", func() bool { return s.roster().MatchID == match })
	if r := s.roster(); len(r.Bots) != 1 || r.Bots[0] != (gateapi.Bots{Team: "robots", Count: 3}) || len(r.Expected) != 1 || r.Expected[0].Player != "ann" {
		t.Errorf("roster: %+v", r)
	}
	if _, _, body := s.call("GET", "/v1/roster", "", ""); !bytes.Contains(body, []byte(`"bots":[{"team":"robots","count":3}]`)) {
		t.Errorf("roster: %s", body)
	}
}

func TestBadRequests(t *testing.T) {
	s := start(t)
	s.give(match, "ann")
	const js = "application/json"
	presence := func(player, admission string) string {
		return `{"match_id":"` + match + `","players":[{"player":"` + player + `","admission":"` + admission + `"}]}`
	}
	tests := map[string]struct {
		path, media, body string
		status            int
		reason            string
	}{
		"presence without a match":        {"/v1/presence", js, `{"players":[]}`, 400, ""},
		"presence without players":        {"/v1/presence", js, `{"match_id":"` + match + `"}`, 400, ""},
		"presence of nobody":              {"/v1/presence", js, presence("", "x"), 400, ""},
		"presence of a line":              {"/v1/presence", js, presence(`a\nb`, "x"), 400, ""},
		"presence without admission":      {"/v1/presence", js, presence("ann", ""), 400, ""},
		"presence with a wrong admission": {"/v1/presence", js, presence("ann", "a b"), 400, ""},
		"presence for another match":      {"/v1/presence", js, `{"match_id":"m-x","players":[]}`, 409, "wrong_match"},
		"presence of too many":            {"/v1/presence", js, `{"match_id":"m","players":[{}` + strings.Repeat(",{}", 8192) + `]}`, 400, ""},
		"presence too large":              {"/v1/presence", js, presence(strings.Repeat("a", 1<<20), "x"), 413, ""},
		"no JSON":                         {"/v1/admissions", js, "hello", 400, ""},
		"two objects":                     {"/v1/admissions", js, `{"token":"a"}{}`, 400, ""},
		"unknown member":                  {"/v1/admissions", js, `{"token":"a","x":1}`, 400, ""},
		"no token":                        {"/v1/admissions", js, `{}`, 400, ""},
		"capital letters":                 {"/v1/admissions", js, `{"TOKEN":"a"}`, 400, ""},
		"token twice":                     {"/v1/admissions", js, `{"token":"a","token":"a"}`, 400, ""},
		"PLAYER":                          {"/v1/departures", js, `{"PLAYER":"ann"}`, 400, ""},
		"player twice":                    {"/v1/departures", js, `{"player":"bob","player":"ann"}`, 400, ""},
		"presence twice":                  {"/v1/presence", js, `{"match_id":"m","match_id":"` + match + `","players":[]}`, 400, ""},
		"no such path":                    {"/v1/admission", js, `{}`, 404, ""},
		"not for POST":                    {"/v1/roster", js, `{}`, 405, ""},
		"wrong type":                      {"/v1/admissions", js, `{"token":7}`, 400, ""},
		"too large":                       {"/v1/admissions", js, `{"token":"` + strings.Repeat("a", 20000) + `"}`, 413, ""},
		"from a web page":                 {"/v1/admissions", "text/plain", `{"token":"a"}`, 415, ""},
		"bad token":                       {"/v1/admissions", js, `{"token":"a"}`, 403, "malformed"},
		"oversized token":                 {"/v1/admissions", js, `{"token":"` + strings.Repeat("a", 9000) + `"}`, 403, "too_large"},
		"no player":                       {"/v1/departures", js, `{}`, 400, ""},
		"neither closed nor open":         {"/v1/closed", js, `{}`, 400, ""},
		"closed is a word":                {"/v1/closed", js, `{"closed":"yes"}`, 400, ""},
		"ban of nobody":                   {"/v1/bans", js, `{}`, 400, ""},
		"ban of a line":                   {"/v1/bans", js, `{"player":"a\nb"}`, 400, ""},
		"ban of a stranger":               {"/v1/bans", js, `{"player":"eve"}`, 404, "not_on_roster"},
		"player not there":                {"/v1/departures", js, `{"player":"ann"}`, 404, "not_present"},
		"departure no JSON":               {"/v1/departures", js, `[`, 400, ""},
	}
	for name, test := range tests {
		method := "POST"
		if test.path == "/v1/presence" || test.path == "/v1/closed" {
			method = "PUT"
		}
		status, media, body := s.call(method, test.path, test.media, test.body)
		var p problem.Problem
		if err := json.Unmarshal(body, &p); err != nil || status != test.status || p.Status != status || p.Reason != test.reason || media != problem.ContentType {
			t.Errorf("%s: %d %s %s", name, status, media, body)
		}
	}
}

// TestForeignHosts: no web page uses the gate, nor the SDK behind it, through a browser beside
// it, by a request of its own or by a name that suddenly means this machine; probes come to the
// pod's own address.
func TestForeignHosts(t *testing.T) {
	s := start(t)
	for _, path := range []struct {
		method, path string
		local        int // what a call by the gate's own name gets
	}{
		{"GET", "/v1/roster", 200},
		{"POST", "/v1/departures", 415},
		{"PUT", "/v1/closed", 415},
		{"DELETE", "/v1/backfill", 409},
		{"POST", "/agones.dev.sdk.SDK/Shutdown", 426},
		{"POST", "/agones.dev.sdk.alpha.SDK/PlayerConnect", 426},
		{"POST", "/shutdown", 0},
		{"GET", "/watch/gameserver", 0},
	} {
		for _, from := range []struct {
			host, origin string
			want         int
		}{
			{"", "", path.local},
			{"localhost:8085", "", path.local},
			{"evil.example", "", 421},
			{"evil.example:8085", "http://evil.example:8085", 421},
			{"printer.local", "", 421},
			{"127.0.0.1:8085", "http://evil.example", 403},
		} {
			if from.want == 403 && path.method == "GET" {
				continue // a page of another origin may send it, and cannot read the answer
			}
			if from.want == 0 {
				continue // the harness has no SDK over REST
			}
			if got := s.from(path.method, path.path, from.host, from.origin); got != from.want {
				t.Errorf("%s %s at %q from %q: %d, want %d", path.method, path.path, from.host, from.origin, got, from.want)
			}
		}
	}
	for _, path := range []string{"/livez", "/metrics"} {
		if got := s.from("GET", path, "10.1.2.3:8085", ""); got != 200 {
			t.Errorf("%s at the pod's address: %d", path, got)
		}
	}
	if s.sdk.State() != "Ready" {
		t.Errorf("the game server is %s", s.sdk.State())
	}
}

// from makes a request as if the gate had this name, for a page of an origin.
func (s *gameHarness) from(method, path, host, origin string) (status int) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(limited(s.t), method, s.server.Gate+path, http.NoBody)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Host = host
	if origin != "" {
		req.Header.Set("Origin", origin)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

func TestGateAPI(t *testing.T) {
	s := start(t)
	s.give(match, "ann", "bob")
	body := `{"token":"` + s.token("ann") + `"}`
	status, _, answer := s.call("POST", "/v1/admissions", "application/json", body)
	var got map[string]any
	if err := json.Unmarshal(answer, &got); err != nil || status != 200 || got["player"] != "ann" || got["team"] != "team-ann" || got["match_id"] != match || got["reconnect"] != false {
		t.Errorf("admission: %d %s", status, answer)
	}
	if status, _, answer = s.call("POST", "/v1/admissions", "application/json", body); status != 403 || !bytes.Contains(answer, []byte(`"reason":"replayed"`)) {
		t.Errorf("replay: %d %s", status, answer)
	}
	status, _, answer = s.call("POST", "/v1/admissions", "application/json", `{"token":"`+s.token("ann")+`"}`)
	if status != 200 || !bytes.Contains(answer, []byte(`"reconnect":true`)) {
		t.Errorf("reconnect: %d %s", status, answer)
	}
	if status, _, answer = s.call("POST", "/v1/departures", "application/json", `{"player":"ann"}`); status != 204 || len(answer) != 0 {
		t.Errorf("departure: %d %s", status, answer)
	}
	s.until("the gate is ready", func() bool { status, _, _ := s.call("GET", "/readyz", "", ""); return status == 200 })
	s.sdk.Stop()
	s.until("the gate says that the SDK is gone", func() bool { status, _, _ := s.call("GET", "/readyz", "", ""); return status == 503 })
}

// TestLostAnswer: a request that is made again under the same name is answered
// in the same way, and a late departure does not end a later stay.
func TestLostAnswer(t *testing.T) {
	s := start(t)
	s.give(match, "ann", "bob")
	api, tok := s.api, s.token("ann")
	first, err := api.Admit(limited(t), tok, "attempt-1")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := api.Admit(limited(t), tok, "attempt-1"); err != nil || again != first {
		t.Errorf("again: %+v, %v", again, err)
	}
	if _, err := api.Admit(limited(t), tok, "attempt-2"); err == nil {
		t.Error("another attempt has used the token too")
	}
	back := s.token("ann")
	for i := range 3 { // the answer to the first try is lost; so is the gate after the second
		if i == 2 {
			if err := s.stopGate(); err != nil {
				t.Fatal(err)
			}
			s.startGate()
			api = s.api
		}
		if third, err := api.Admit(limited(t), back, "attempt-3"); err != nil || !third.Reconnect {
			t.Errorf("reconnect, try %d: %+v, %v", i, third, err)
		}
	}
	if err := api.Depart(limited(t), "ann", first.Admission); err != nil {
		t.Fatal(err)
	}
	if r := s.roster(); len(r.Present) != 1 {
		t.Errorf("a late departure has ended a later stay: %+v", r)
	}
}

// process has settings that its arguments give, and no environment.
func process(args []string, stderr io.Writer) service.Process {
	return service.Process{Args: args, Getenv: func(string) string { return "" }, Stdout: io.Discard, Stderr: stderr}
}

func TestWrongSettings(t *testing.T) {
	good := []string{"--jwks-url=https://frontend.example/jwks", "--issuer=i"}
	for flag, want := range map[string]string{
		"--http-listen=:8085":               "--http-listen",
		"--http-listen=0.0.0.0:8085":        "--http-listen",
		"--http-listen=10.0.0.1:8085":       "--http-listen",
		"--jwks-url=http://elsewhere.test/": "--jwks-url: must be https, or http on this machine; --allow-http-jwks takes plain HTTP too",
		"--jwks-url=":                       "--jwks-url",
		"--issuer=":                         "--issuer",
		"--algorithm=none":                  "--algorithm",
		"--capacity=-1":                     "--capacity",
		"--no-show-timeout=0s":              "--no-show-timeout",
		"--empty-timeout=-1s":               "--empty-timeout",
		"--presence-timeout=0s":             "--presence-timeout",
		"--longest-match=2m":                "--longest-match",
		"--sdk-grpc-port=0":                 "--sdk-grpc-port",
	} {
		var stderr bytes.Buffer
		args := append(append([]string{}, good...), flag)
		if code := gate.Main(t.Context(), process(args, &stderr)); code != 2 || !strings.Contains(stderr.String(), want) {
			t.Errorf("gate %s: exit code %d, %s", flag, code, &stderr)
		}
	}
	var stderr bytes.Buffer
	args := append(append([]string{}, good...), "--http-listen=127.0.0.1:0", "--journal="+t.TempDir())
	if code := gate.Main(t.Context(), process(args, &stderr)); code != 1 || !strings.HasPrefix(stderr.String(), "gate: --journal: must name a regular file") {
		t.Errorf("a journal that is a directory: exit code %d, %s", code, &stderr)
	}
	for _, flag := range []string{"--udp-listen=x", "--gate=127.0.0.1:1", "--idle-timeout=0s", "--max-pending=0", "--gate-lost-timeout=10s", "--sdk-grpc-port=70000"} {
		var stderr bytes.Buffer
		want, _, _ := strings.Cut(flag, "=")
		if code := server.Main(t.Context(), process([]string{flag}, &stderr)); code != 2 || !strings.Contains(stderr.String(), want) {
			t.Errorf("server %s: exit code %d, %s", flag, code, &stderr)
		}
	}
}
