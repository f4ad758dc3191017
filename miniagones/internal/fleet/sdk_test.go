package fleet_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"torikumi/miniagones/internal/conformance"
	"torikumi/miniagones/internal/counts"
	"torikumi/miniagones/internal/fleet"
	"torikumi/pkg/agones"
	"torikumi/pkg/eventually"
	"torikumi/pkg/porttest"
	sdkpb "torikumi/proto/agones/sdk"
)

// mute runs one server that says nothing, and returns its spec and SDK, so
// that the test can speak for it.
func mute(t testing.TB, opts fleet.Options) (*harness, fleet.Spec, sdkpb.SDKClient) {
	t.Helper()
	specs := make(chan fleet.Spec, 16)
	opts.Ready, opts.Max = 1, 1
	if opts.Health == (fleet.Health{}) {
		opts.Health.Disabled = true // it gives no sign of life
	}
	opts.Backend = children(t, conformance.ModeMute)
	opts.Sidecar = func(_ context.Context, s fleet.Spec) ([]string, func(), error) {
		specs <- s
		return nil, nil, nil
	}
	r := run(t, opts)
	spec := <-specs
	conn, err := grpc.NewClient(spec.SDKGRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return r, spec, sdkpb.NewSDKClient(conn)
}

// rest calls the REST interface as it stands in HTTP.
func rest(t testing.TB, spec fleet.Spec, method, path, body string) (int, string) {
	t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+spec.SDKHTTP+path, r)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// calls are answered so by Agones's own SDK server (1.57, in local mode).
var calls = []restCase{
	{"POST", "/ready", `{}`, 200, `{}`},
	{"POST", "/ready", ``, 200, `{}`},
	{"POST", "/ready", `{"unknown":1}`, 200, `{}`},
	{"POST", "/ready", `rubbish`, 400, `{"code":3,"message":"invalid character 'r' looking for beginning of value","details":[]}`},
	{"POST", "/health", ``, 400, ``},
	{"POST", "/health", `{}`, 200, `{}`},
	{"POST", "/health", `rubbish`, 400, `{"code":3,"message":"invalid character 'r' looking for beginning of value","details":[]}`},
	{"PUT", "/metadata/label", `{"key":"map","value":"desert"}`, 200, `{}`},
	{"POST", "/metadata/label", `{"key":"map","value":"desert"}`, 501, `{"code":12,"message":"Method Not Allowed","details":[]}`},
	{"PUT", "/metadata/annotation", `{"key":"mood","value":"so: so"}`, 200, `{}`},
	{"POST", "/reserve", `{"seconds":"60"}`, 200, `{}`},
	{"POST", "/reserve", `{"seconds":60}`, 200, `{}`},
	{"POST", "/allocate", `{}`, 200, `{}`},
	{"GET", "/ready", ``, 501, `{"code":12,"message":"Method Not Allowed","details":[]}`},
	{"GET", "/nosuch", ``, 404, `{"code":5,"message":"Not Found","details":[]}`},
}

// TestREST holds what Agones's own SDK server (1.57, in local mode) answers to
// the same requests; with the path of its binary in AGONES_SDK_SERVER it is asked.
func TestREST(t *testing.T) {
	_, spec, _ := mute(t, fleet.Options{})
	servers := map[string]string{"miniagones": spec.SDKHTTP}
	if binary := os.Getenv("AGONES_SDK_SERVER"); binary != "" {
		servers["Agones"] = realSDKServer(t, binary)
	}
	for name, addr := range servers {
		t.Run(name, func(t *testing.T) {
			for _, c := range calls {
				c.check(t, addr)
			}
		})
	}
	for body, rule := range map[string]string{
		`{"key":"map","value":"a:b"}`: "value", `{"key":"a b","value":"v"}`: "key", `{}`: "key",
	} {
		if code, answer := rest(t, spec, "PUT", "/metadata/label", body); code != 400 || !strings.Contains(answer, rule) {
			t.Errorf("label %s: %d %s, want 400 and the rule", body, code, answer)
		}
	}
}

func sameJSON(a, b string) bool {
	if a == b {
		return true
	}
	var x, y any
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && cmp.Equal(x, y)
}

// TestGameServerJSON holds the shape in which Agones writes a game server:
// names as in the .proto, 64-bit numbers as strings, and no field left out.
func TestGameServerJSON(t *testing.T) {
	r, spec, _ := mute(t, fleet.Options{
		Labels: map[string]string{"torikumi/allocatable": "true"},
		Health: fleet.Health{Period: 5 * time.Second, FailureThreshold: 3, InitialDelay: 5 * time.Second},
	})
	_, answer := rest(t, spec, "GET", "/gameserver", "")
	var got map[string]any
	if err := json.Unmarshal([]byte(answer), &got); err != nil {
		t.Fatal(err)
	}
	server := r.Snapshot().Servers[0]
	meta, _ := got["object_meta"].(map[string]any)
	for _, k := range []string{"resource_version", "generation", "creation_timestamp"} {
		if s, ok := meta[k].(string); !ok || s == "" || s == "0" {
			t.Errorf("object_meta.%s is %v, want a number in a string", k, meta[k])
		}
		delete(meta, k)
	}
	status, _ := got["status"].(map[string]any)
	delete(status, "state")
	labels := map[string]any{}
	for k, v := range server.Labels {
		labels[k] = v
	}
	want := map[string]any{
		"object_meta": map[string]any{
			"name": server.Name, "namespace": "default", "uid": server.UID,
			"deletion_timestamp": "0", "annotations": map[string]any{}, "labels": labels,
		},
		"spec": map[string]any{"health": map[string]any{
			"disabled": false, "period_seconds": 5.0, "failure_threshold": 3.0, "initial_delay_seconds": 5.0,
		}},
		"status": map[string]any{
			"address": "127.0.0.1",
			"addresses": []any{map[string]any{
				"type": "InternalIP", "address": "127.0.0.1",
			}},
			"ports":   []any{map[string]any{"name": "default", "port": float64(server.Ports[0].Port)}},
			"players": nil, "counters": map[string]any{}, "lists": map[string]any{},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWatchOverREST(t *testing.T) {
	_, spec, sdk := mute(t, fleet.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+spec.SDKHTTP+"/watch/gameserver", nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	next := func() map[string]string {
		if !lines.Scan() {
			t.Fatalf("the stream has ended: %v", lines.Err())
		}
		var m struct {
			Result struct {
				ObjectMeta struct {
					Labels map[string]string `json:"labels"`
				} `json:"object_meta"`
			} `json:"result"`
		}
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			t.Fatalf("%s: %v", lines.Bytes(), err)
		}
		return m.Result.ObjectMeta.Labels
	}
	if l := next(); l[agones.FleetLabel] != "local" {
		t.Errorf("first message has labels %v", l)
	}
	if _, err := sdk.SetLabel(t.Context(), &sdkpb.KeyValue{Key: "map", Value: "desert"}); err != nil {
		t.Fatal(err)
	}
	for next()[agones.SDKPrefix+"map"] != "desert" {
	}
}

// TestWatchOverWebSocket: each version is one message, until the server is gone; plain
// HTTP at the same path still streams.
func TestWatchOverWebSocket(t *testing.T) {
	_, spec, sdk := mute(t, fleet.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, resp, err := websocket.Dial(ctx, "ws://"+spec.SDKHTTP+"/watch/gameserver", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseNow() }()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		t.Errorf("status %d", resp.StatusCode)
	}
	labels := func(want string) {
		t.Helper()
		for {
			kind, message, err := conn.Read(ctx)
			if err != nil {
				t.Fatalf("waiting for the label %q: %v", want, err)
			}
			var got struct {
				Result struct {
					ObjectMeta struct {
						Name   string
						Labels map[string]string
					} `json:"object_meta"`
				}
			}
			if err := json.Unmarshal(message, &got); err != nil || kind != websocket.MessageText || got.Result.ObjectMeta.Name != spec.Name {
				t.Fatalf("%v %s: %v", kind, message, err)
			}
			if got.Result.ObjectMeta.Labels["agones.dev/sdk-map"] == want {
				return
			}
		}
	}
	labels("")
	for _, value := range []string{"desert", "ice"} {
		if _, err := sdk.SetLabel(ctx, &sdkpb.KeyValue{Key: "map", Value: value}); err != nil {
			t.Fatal(err)
		}
		labels(value)
	}
	// A page of another origin gets none.
	other, resp, err := websocket.Dial(ctx, "ws://"+spec.SDKHTTP+"/watch/gameserver", &websocket.DialOptions{HTTPHeader: http.Header{"Origin": {"http://evil.example"}}})
	if err == nil {
		_ = other.CloseNow()
		t.Error("a page of another origin watches")
	} else if resp == nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("a page of another origin: %v", err)
	}
	if _, err := sdk.Shutdown(ctx, &sdkpb.Empty{}); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, _, err = conn.Read(ctx)
	}
	if ctx.Err() != nil {
		t.Error("the stream outlives its server")
	}
}

// TestSlowWatcher opens a watch that nobody reads: the fleet must not wait for
// it, and the newest state must be the last that it gets.
func TestSlowWatcher(t *testing.T) {
	_, _, sdk := mute(t, fleet.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := sdk.WatchGameServer(ctx, &sdkpb.Empty{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	big := strings.Repeat("x", 100<<10)
	for range 500 {
		if _, err := sdk.SetAnnotation(t.Context(), &sdkpb.KeyValue{Key: "big", Value: big}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := sdk.SetLabel(t.Context(), &sdkpb.KeyValue{Key: "last", Value: "yes"}); err != nil {
		t.Fatal(err)
	}
	n := 0
	for {
		s, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		n++
		if s.GetObjectMeta().GetLabels()["agones.dev/sdk-last"] == "yes" {
			break
		}
	}
	if n > 400 {
		t.Errorf("%d messages were kept for a watcher that did not read", n)
	}
}

func TestReserveTooLong(t *testing.T) {
	_, spec, _ := mute(t, fleet.Options{})
	if code, answer := rest(t, spec, "POST", "/reserve", `{"seconds":"9223372036854775807"}`); code != 400 || !strings.Contains(answer, "seconds") {
		t.Errorf("got %d %s, want 400 for a time that no clock reaches", code, answer)
	}
}

// TestCountersOverREST: paths, bodies and codes are those of Agones, whose own SDK server
// (a build after 1.56) was read and asked.
func TestCountersOverREST(t *testing.T) {
	has := counts.Set{Counters: map[string]counts.Counter{"rooms": {Count: 1, Capacity: 4}}, Lists: map[string]counts.List{"ids": {Capacity: 3, Values: []string{"a"}}}}
	_, spec, _ := mute(t, fleet.Options{Counts: has})
	for _, c := range []restCase{
		{"GET", "/v1beta1/counters/rooms", ``, 200, `{"name":"rooms","count":"1","capacity":"4"}`},
		{"GET", "/v1beta1/counters/none", ``, 500, ``},
		{"PATCH", "/v1beta1/counters/rooms", `{"countDiff":"2"}`, 200, `{"name":"rooms","count":"3","capacity":"4"}`},
		{"PATCH", "/v1beta1/counters/rooms", `{"countDiff":"2"}`, 500, ``},
		{"PATCH", "/v1beta1/counters/rooms", `{"count":"0"}`, 200, `{"name":"rooms","count":"0","capacity":"4"}`},
		{"PATCH", "/v1beta1/counters/rooms", `{"count":"-1"}`, 500, ``},
		{"PATCH", "/v1beta1/counters/rooms", `{"count":4}`, 200, `{"name":"rooms","count":"4","capacity":"4"}`},
		{"PATCH", "/v1beta1/counters/rooms", `{"capacity":"2"}`, 200, `{"name":"rooms","count":"2","capacity":"2"}`},
		{"PATCH", "/v1beta1/counters/rooms", `{"capacity":"9","count":"5","countDiff":"-1"}`, 200, `{"name":"rooms","count":"4","capacity":"9"}`},
		{"PATCH", "/v1beta1/counters/rooms", `{"capacity":"-2"}`, 500, ``},
		{"PATCH", "/v1beta1/counters/rooms", `{}`, 500, ``},
		{"GET", "/v1beta1/lists/ids", ``, 200, `{"name":"ids","capacity":"3","values":["a"]}`},
		{"POST", "/v1beta1/lists/ids:addValue", `{"value":"b"}`, 200, `{"name":"ids","capacity":"3","values":["a","b"]}`},
		{"POST", "/v1beta1/lists/ids:addValue", `{"value":"b"}`, 500, `{"code":2,"message":"already exists. list \"ids\" has \"b\"","details":[]}`},
		{"POST", "/v1beta1/lists/ids:removeValue", `{"value":"a"}`, 200, `{"name":"ids","capacity":"3","values":["b"]}`},
		{"POST", "/v1beta1/lists/ids:removeValue", `{"value":"a"}`, 500, ``},
		{"PATCH", "/v1beta1/lists/ids", `{"capacity":"2"}`, 200, `{"name":"ids","capacity":"2","values":["b"]}`},
		{"PATCH", "/v1beta1/lists/ids", `{"values":["x","y","z"]}`, 200, `{"name":"ids","capacity":"2","values":["x","y"]}`},
		{"POST", "/v1beta1/lists/ids:addValue", `{"value":"x"}`, 500, `{"code":2,"message":"out of range. list \"ids\" is full","details":[]}`},
		{"PATCH", "/v1beta1/lists/ids?update_mask=capacity,values", `{"capacity":"1","values":["v"]}`, 200, `{"name":"ids","capacity":"1","values":["v"]}`},
		{"PATCH", "/v1beta1/lists/ids", `{"capacity":"1001"}`, 500, ``},
		{"PATCH", "/v1beta1/lists/ids?update_mask=name", `{"name":"x"}`, 500, ``},
		{"GET", "/v1beta1/lists/none", ``, 500, ``},
	} {
		c.check(t, spec.SDKHTTP)
	}
}

// restCase is a request and its answer; an empty answer may be any.
type restCase struct {
	method, path, body string
	code               int
	answer             string
}

func (c restCase) check(t *testing.T, addr string) {
	t.Helper()
	code, answer := rest(t, fleet.Spec{SDKHTTP: addr}, c.method, c.path, c.body)
	if code != c.code || c.answer != "" && !sameJSON(answer, c.answer) {
		t.Errorf("%s %s %s: %d %s, want %d %s", c.method, c.path, c.body, code, answer, c.code, c.answer)
	}
}

// players is what Agones's own SDK server answers, with its feature PlayerTracking.
var players = []restCase{
	{"GET", "/alpha/player/capacity", ``, 200, `{"count":"0"}`},
	{"POST", "/alpha/player/connect", `{"playerID":"ann"}`, 500, ``},
	{"PUT", "/alpha/player/capacity", `{"count":2}`, 200, `{}`},
	{"POST", "/alpha/player/connect", `{"playerID":"ann"}`, 200, `{"bool":true}`},
	{"POST", "/alpha/player/connect", `{"playerID":"ann"}`, 200, `{"bool":false}`},
	{"POST", "/alpha/player/connect", `{"playerID":"bob"}`, 200, `{"bool":true}`},
	{"POST", "/alpha/player/connect", `{"playerID":"cy"}`, 500, ``},
	{"GET", "/alpha/player/connected", ``, 200, `{"list":["ann","bob"]}`},
	{"GET", "/alpha/player/connected/ann", ``, 200, `{"bool":true}`},
	{"GET", "/alpha/player/connected/%7B0%7D", ``, 200, `{"bool":false}`}, // Agones's Unreal plugin asks so for all
	{"GET", "/alpha/player/count", ``, 200, `{"count":"2"}`},
	{"POST", "/alpha/player/disconnect", `{"playerID":"ann"}`, 200, `{"bool":true}`},
	{"POST", "/alpha/player/disconnect", `{"playerID":"ann"}`, 200, `{"bool":false}`},
	{"PUT", "/alpha/player/capacity", `{"count":"0"}`, 200, `{}`},
	{"GET", "/alpha/player/count", ``, 200, `{"count":"1"}`},
	{"POST", "/alpha/player/connect", `{}`, 500, ``},
}

// TestPlayersOverREST: with the path of the real SDK server's binary in AGONES_SDK_SERVER it
// answers the same.
func TestPlayersOverREST(t *testing.T) {
	_, spec, _ := mute(t, fleet.Options{})
	before := statusOf(t, spec.SDKHTTP)
	if before["players"] != nil {
		t.Errorf("players before anything was said of them: %v", before["players"])
	}
	servers := map[string]string{"miniagones": spec.SDKHTTP}
	if binary := os.Getenv("AGONES_SDK_SERVER"); binary != "" {
		servers["Agones"] = realSDKServer(t, binary)
	}
	for name, addr := range servers {
		t.Run(name, func(t *testing.T) {
			for _, c := range players {
				c.check(t, addr)
			}
			want := map[string]any{"count": "1", "capacity": "0", "ids": []any{"bob"}}
			if diff := cmp.Diff(want, statusOf(t, addr)["players"]); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func statusOf(t *testing.T, addr string) map[string]any {
	t.Helper()
	var got struct{ Status map[string]any }
	if _, answer := rest(t, fleet.Spec{SDKHTTP: addr}, "GET", "/gameserver", ""); json.Unmarshal([]byte(answer), &got) != nil {
		t.Fatal(answer)
	}
	return got.Status
}

// realSDKServer runs Agones's SDK server in its local mode until the end of the test.
func realSDKServer(t *testing.T, binary string) (addr string) {
	t.Helper()
	ports := make([]string, 3)
	for i := range ports {
		ports[i] = strconv.Itoa(int(porttest.Hold(t).Port()))
	}
	file := filepath.Join(t.TempDir(), "gameserver.yaml")
	const text = "apiVersion: agones.dev/v1\nkind: GameServer\nmetadata: {name: real, namespace: default, uid: u}\nstatus: {state: Scheduled, address: 127.0.0.1}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "--local", "-f", file, "--address=127.0.0.1", "--feature-gates=PlayerTracking=true",
		"--grpc-port="+ports[0], "--http-port="+ports[1], "--health-port="+ports[2])
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	addr = net.JoinHostPort("127.0.0.1", ports[1])
	eventually.NoError(t, "the real SDK server answers", func() error {
		resp, err := http.Get("http://" + addr + "/gameserver")
		if err == nil {
			_ = resp.Body.Close()
		}
		return err
	})
	return addr
}
