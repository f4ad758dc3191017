package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"torikumi/pkg/agones"
	sdkpb "torikumi/proto/agones/sdk"
	betapb "torikumi/proto/agones/sdk/beta"
)

// ModeVariable is the environment variable that makes a test binary a game
// server; see Child.
const ModeVariable = "CONFORMANCE_MODE"

// HostVariable is the environment variable with the IP address that a child
// listens on; 127.0.0.1 when empty.
const HostVariable = "CONFORMANCE_HOST"

// How a child behaves.
const (
	// ModeServe is a good server: Ready at once, always healthy, and it does
	// what UDP packets say.
	ModeServe = "serve"
	// ModeMute never says a word to the SDK.
	ModeMute = "mute"
	// ModeCrash writes a line and ends with exit status 3.
	ModeCrash = "crash"
	// ModeStubborn is a good server that doesn't listen to SIGTERM.
	ModeStubborn = "stubborn"
)

// Child runs the game server that ModeVariable asks for, and reports whether it
// asked for one. TestMain calls it first.
//
// The good server obeys UDP packets of one command each, and answers "ACK" and
// what it has to say, or "ERROR" and why not: READY, ALLOCATE, SHUTDOWN,
// RESERVE seconds, LABEL key value, ANNOTATION key value, GAMESERVER (the
// game server as the REST interface writes it), WATCH (what WatchGameServer
// has sent so far, as JSON of Seen), UNHEALTHY (no more signs of life),
// EXIT status, and PID.
func Child() (code int, child bool) {
	mode := os.Getenv(ModeVariable)
	switch mode {
	case "":
		return 0, false
	case ModeCrash:
		fmt.Println("the dog ate my level")
		return 3, true
	case ModeMute:
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM)
		<-stop
		return 0, true
	}
	if err := serve(mode); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1, true
	}
	return 0, true
}

// Seen is one message of WatchGameServer.
type Seen struct {
	State           string
	ResourceVersion string
	Labels          map[string]string
	Annotations     map[string]string
	Deleted         bool
}

type gameServer struct {
	sdk  sdkpb.SDKClient
	beta betapb.SDKClient
	rest string

	mu      sync.Mutex
	seen    []Seen
	healthy bool
}

func serve(mode string) error {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	if mode == ModeStubborn {
		cancel()
		signal.Ignore(syscall.SIGTERM)
		ctx, cancel = context.WithCancel(context.Background())
	}
	defer cancel()
	conn, err := grpc.NewClient("127.0.0.1:"+os.Getenv(agones.SDKGRPCPortEnv), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	port, err := strconv.Atoi(os.Getenv("PORT"))
	if err != nil {
		return fmt.Errorf("PORT: %w", err)
	}
	host := net.IPv4(127, 0, 0, 1)
	if text := os.Getenv(HostVariable); text != "" {
		host = net.ParseIP(text)
	}
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: host, Port: port})
	if err != nil {
		return err
	}
	defer func() { _ = udp.Close() }()
	context.AfterFunc(ctx, func() { _ = udp.Close() })

	g := &gameServer{
		sdk:     sdkpb.NewSDKClient(conn),
		beta:    betapb.NewSDKClient(conn),
		rest:    "http://127.0.0.1:" + os.Getenv(agones.SDKHTTPPortEnv),
		healthy: true,
	}
	watch, err := g.sdk.WatchGameServer(ctx, &sdkpb.Empty{})
	if err != nil {
		return err
	}
	go g.watch(watch)
	go g.health(ctx)
	if _, err := g.post(ctx, "/ready", "{}"); err != nil {
		return err
	}
	buf := make([]byte, 2048)
	for {
		n, from, err := udp.ReadFromUDP(buf)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		answer, err := g.obey(ctx, strings.Fields(string(buf[:n])))
		text := "ACK " + answer
		if err != nil {
			text = "ERROR " + status.Code(err).String() + " " + err.Error()
		}
		if _, err := udp.WriteToUDP([]byte(text), from); err != nil {
			return err
		}
	}
}

func (g *gameServer) watch(stream grpc.ServerStreamingClient[sdkpb.GameServer]) {
	for {
		s, err := stream.Recv()
		if err != nil {
			return
		}
		meta := s.GetObjectMeta()
		g.mu.Lock()
		g.seen = append(g.seen, Seen{
			State:           s.GetStatus().GetState(),
			ResourceVersion: meta.GetResourceVersion(),
			Labels:          meta.GetLabels(),
			Annotations:     meta.GetAnnotations(),
			Deleted:         meta.GetDeletionTimestamp() != 0,
		})
		g.mu.Unlock()
	}
}

func (g *gameServer) health(ctx context.Context) {
	stream, err := g.sdk.Health(ctx)
	if err != nil {
		return
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		g.mu.Lock()
		healthy := g.healthy
		g.mu.Unlock()
		if !healthy || stream.Send(&sdkpb.Empty{}) != nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (g *gameServer) obey(ctx context.Context, words []string) (string, error) {
	if len(words) == 0 {
		return "", errors.New("no command")
	}
	arg := func(i int) string {
		if i < len(words) {
			return words[i]
		}
		return ""
	}
	var err error
	switch words[0] {
	case "READY":
		_, err = g.sdk.Ready(ctx, &sdkpb.Empty{})
	case "ALLOCATE":
		_, err = g.sdk.Allocate(ctx, &sdkpb.Empty{})
	case "SHUTDOWN":
		_, err = g.sdk.Shutdown(ctx, &sdkpb.Empty{})
	case "RESERVE":
		var seconds int64
		if seconds, err = strconv.ParseInt(arg(1), 10, 64); err == nil {
			_, err = g.sdk.Reserve(ctx, &sdkpb.Duration{Seconds: seconds})
		}
	case "LABEL":
		_, err = g.sdk.SetLabel(ctx, &sdkpb.KeyValue{Key: arg(1), Value: arg(2)})
	case "ANNOTATION":
		_, err = g.sdk.SetAnnotation(ctx, &sdkpb.KeyValue{Key: arg(1), Value: arg(2)})
	case "COUNTER":
		var diff int64
		if diff, err = strconv.ParseInt(arg(2), 10, 64); err != nil {
			return "", err
		}
		c, err := g.beta.UpdateCounter(ctx, &betapb.UpdateCounterRequest{CounterUpdateRequest: &betapb.CounterUpdateRequest{Name: arg(1), CountDiff: diff}})
		return fmt.Sprintf("%d/%d", c.GetCount(), c.GetCapacity()), err
	case "ADDVALUE":
		l, err := g.beta.AddListValue(ctx, &betapb.AddListValueRequest{Name: arg(1), Value: arg(2)})
		return strings.Join(l.GetValues(), ","), err
	case "REMOVEVALUE":
		l, err := g.beta.RemoveListValue(ctx, &betapb.RemoveListValueRequest{Name: arg(1), Value: arg(2)})
		return strings.Join(l.GetValues(), ","), err
	case "GAMESERVER":
		return g.get(ctx, "/gameserver")
	case "WATCH":
		g.mu.Lock()
		defer g.mu.Unlock()
		out, err := json.Marshal(g.seen)
		return string(out), err
	case "UNHEALTHY":
		g.mu.Lock()
		g.healthy = false
		g.mu.Unlock()
	case "EXIT":
		code, err := strconv.Atoi(arg(1))
		if err != nil {
			return "", err
		}
		os.Exit(code)
	case "PID":
		return strconv.Itoa(os.Getpid()), nil
	default:
		err = fmt.Errorf("no such command: %q", words[0])
	}
	return "", err
}

func (g *gameServer) get(ctx context.Context, path string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.rest+path, nil)
	if err != nil {
		return "", err
	}
	return do(req)
}

func (g *gameServer) post(ctx context.Context, path, body string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.rest+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	return do(req)
}

func do(req *http.Request) (string, error) {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return string(body), err
}
