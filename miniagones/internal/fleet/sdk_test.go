package fleet_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
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

// TestREST holds what Agones's own SDK server (1.57, in local mode) answers to
// the same requests.
func TestREST(t *testing.T) {
	_, spec, _ := mute(t, fleet.Options{})
	for _, c := range []struct {
		method, path, body string
		code               int
		answer             string
	}{
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
	} {
		code, answer := rest(t, spec, c.method, c.path, c.body)
		if code != c.code || !sameJSON(answer, c.answer) {
			t.Errorf("%s %s %s: %d %s, want %d %s", c.method, c.path, c.body, code, answer, c.code, c.answer)
		}
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

// TestCountersOverREST: the paths and bodies are those of Agones.
func TestCountersOverREST(t *testing.T) {
	has := counts.Set{Counters: map[string]counts.Counter{"rooms": {Count: 1, Capacity: 4}}, Lists: map[string]counts.List{"ids": {Capacity: 3, Values: []string{"a"}}}}
	_, spec, _ := mute(t, fleet.Options{Counts: has})
	for _, c := range []struct {
		method, path, body string
		code               int
		answer             string
	}{
		{"GET", "/v1beta1/counters/rooms", ``, 200, `{"name":"rooms","count":"1","capacity":"4"}`},
		{"GET", "/v1beta1/counters/none", ``, 404, ``},
		{"PATCH", "/v1beta1/counters/rooms", `{"countDiff":"2"}`, 200, `{"name":"rooms","count":"3","capacity":"4"}`},
		{"PATCH", "/v1beta1/counters/rooms", `{"countDiff":"2"}`, 400, ``},
		{"PATCH", "/v1beta1/counters/rooms", `{"count":"0"}`, 200, `{"name":"rooms","count":"0","capacity":"4"}`},
		{"PATCH", "/v1beta1/counters/rooms", `{"count":"-1"}`, 400, ``},
		{"PATCH", "/v1beta1/counters/rooms", `{"count":"4"}`, 200, `{"name":"rooms","count":"4","capacity":"4"}`},
		{"PATCH", "/v1beta1/counters/rooms", `{"capacity":"2"}`, 200, `{"name":"rooms","count":"2","capacity":"2"}`},
		{"PATCH", "/v1beta1/counters/rooms", `{"capacity":"-2"}`, 400, ``},
		{"PATCH", "/v1beta1/counters/rooms", `{}`, 400, ``},
		{"GET", "/v1beta1/lists/ids", ``, 200, `{"name":"ids","capacity":"3","values":["a"]}`},
		{"POST", "/v1beta1/lists/ids:addValue", `{"value":"b"}`, 200, `{"name":"ids","capacity":"3","values":["a","b"]}`},
		{"POST", "/v1beta1/lists/ids:addValue", `{"value":"b"}`, 409, ``},
		{"POST", "/v1beta1/lists/ids:removeValue", `{"value":"a"}`, 200, `{"name":"ids","capacity":"3","values":["b"]}`},
		{"POST", "/v1beta1/lists/ids:removeValue", `{"value":"a"}`, 404, ``},
		{"PATCH", "/v1beta1/lists/ids", `{"capacity":"2"}`, 200, `{"name":"ids","capacity":"2","values":["b"]}`},
		{"PATCH", "/v1beta1/lists/ids", `{"values":["x","y","z"]}`, 200, `{"name":"ids","capacity":"2","values":["x","y"]}`},
		{"PATCH", "/v1beta1/lists/ids?update_mask=capacity,values", `{"capacity":"1","values":["v"]}`, 200, `{"name":"ids","capacity":"1","values":["v"]}`},
		{"PATCH", "/v1beta1/lists/ids", `{"capacity":"1001"}`, 400, ``},
		{"PATCH", "/v1beta1/lists/ids?update_mask=name", `{"name":"x"}`, 400, ``},
		{"GET", "/v1beta1/lists/none", ``, 404, ``},
	} {
		code, answer := rest(t, spec, c.method, c.path, c.body)
		if answer = strings.ReplaceAll(answer, " ", ""); code != c.code || c.answer != "" && answer != c.answer {
			t.Errorf("%s %s %s: %d %s, want %d %s", c.method, c.path, c.body, code, answer, c.code, c.answer)
		}
	}
}
