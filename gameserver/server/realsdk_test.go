package server_test

import (
	"context"
	"fmt"
	"log/slog"
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
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"torikumi/gameserver/internal/harness"
	"torikumi/pkg/config"
	"torikumi/pkg/contract"
	"torikumi/pkg/porttest"
	"torikumi/proto/agones/sdk"
)

// TestRealSDKServer plays a match against Agones's own SDK server in its local
// mode. AGONES_SDK_SERVER is the path of its binary; without it the test is
// skipped.
func TestRealSDKServer(t *testing.T) {
	binary := os.Getenv("AGONES_SDK_SERVER")
	if binary == "" {
		t.Skip("AGONES_SDK_SERVER names no sdk-server binary")
	}
	file := filepath.Join(t.TempDir(), "gameserver.yaml")
	writeGameServer(t, file, "Scheduled", "", "")
	var ports [3]int
	for i := range ports {
		ports[i] = int(porttest.Hold(t).Port())
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, binary, "--local", "-f", file, "--address=127.0.0.1",
		"--grpc-port="+strconv.Itoa(ports[0]), "--http-port="+strconv.Itoa(ports[1]), "--health-port="+strconv.Itoa(ports[2]))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = cmd.Wait() })
	conn, err := grpc.NewClient(net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0])), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	client := sdk.NewSDKClient(conn)
	state := func() string {
		gs, err := client.GetGameServer(limited(t), &sdk.Empty{})
		if err != nil {
			return err.Error()
		}
		return gs.GetStatus().GetState()
	}

	s := &gameHarness{t: t, issuer: harness.StartIssuer(t)}
	config.Default(&s.gate)
	config.Default(&s.server)
	s.gate.HTTPListen, s.gate.SDKPort, s.gate.SDKHTTPPort, s.gate.JWKSURL, s.gate.Issuer = porttest.Hold(t).String(), ports[0], ports[1], s.issuer.URL(), harness.IssuerName
	s.server.UDPListen, s.server.SDKPort, s.server.HealthInterval = "127.0.0.1:0", ports[0], 50*time.Millisecond
	s.gate.LogLevel, s.server.LogLevel = slog.LevelWarn, slog.LevelWarn
	s.startGate()
	s.startServer()
	s.until("the server is Ready", func() bool { return state() == "Ready" })
	s.throughTheGate()

	roster, err := contract.EncodeRoster(harness.Roster("ann", "bob"))
	if err != nil {
		t.Fatal(err)
	}
	writeGameServer(t, file, "Allocated", match, roster)
	s.until("the gate knows the match", func() bool { r := s.roster(); return r.MatchID == match && len(r.Expected) == 2 })
	ann, bob := s.player(), s.player()
	tok := s.token("ann")
	s.join(ann, tok)
	s.join(bob, s.token("bob"))
	if _, err := s.player().Join(limited(t), tok); refusal(err) != "replayed" {
		t.Errorf("replay: %v", err)
	}
	if err := ann.Leave(limited(t)); err != nil {
		t.Error(err)
	}
	if err := bob.Leave(limited(t)); err != nil {
		t.Error(err)
	}
	s.until("the game server is shut down", func() bool { return state() == "Shutdown" })
	s.until("the server ends by itself", func() bool { return portFree(s) })
}

// throughTheGate asks the SDK server by the gate's address, as an engine does: REST, the
// watch as a WebSocket, and gRPC.
func (s *gameHarness) throughTheGate() {
	s.t.Helper()
	if code, _, body := s.call("GET", "/gameserver", "application/json", ""); code != 200 || !strings.Contains(string(body), `"state":"Ready"`) {
		s.t.Errorf("GET /gameserver: %d %s", code, body)
	}
	if code, _, body := s.call("POST", "/health", "application/json", "{}"); code != 200 || string(body) != "{}" {
		s.t.Errorf("POST /health: %d %s", code, body)
	}
	ctx := limited(s.t)
	watch, _, err := websocket.Dial(ctx, "ws://"+s.gate.HTTPListen+"/watch/gameserver", &websocket.DialOptions{HTTPHeader: http.Header{"Origin": {"http://127.0.0.1"}}})
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = watch.CloseNow() }()
	conn, err := grpc.NewClient("passthrough:///"+s.gate.HTTPListen, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := sdk.NewSDKClient(conn).SetLabel(ctx, &sdk.KeyValue{Key: "map", Value: "desert"}); err != nil {
		s.t.Fatal(err)
	}
	for told := false; !told; {
		_, message, err := watch.Read(ctx)
		if err != nil {
			s.t.Fatal(err)
		}
		told = strings.Contains(string(message), `"agones.dev/sdk-map":"desert"`)
	}
}

// writeGameServer writes the file in one call, because it is read at each write.
func writeGameServer(t *testing.T, file, state, match, roster string) {
	t.Helper()
	text := fmt.Sprintf("apiVersion: agones.dev/v1\nkind: GameServer\nmetadata:\n  name: %s\n  namespace: %s\n  uid: uid-1\n", harness.Name, harness.Namespace)
	if match != "" {
		text += fmt.Sprintf("  labels:\n    %s: %s\n  annotations:\n    %s: %q\n", contract.MatchLabel, match, contract.RosterAnnotation, roster)
	}
	text += fmt.Sprintf("status:\n  state: %s\n  address: 127.0.0.1\n", state)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
