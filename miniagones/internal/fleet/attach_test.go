package fleet_test

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"torikumi/miniagones/internal/conformance"
	"torikumi/miniagones/internal/fleet"
	"torikumi/miniagones/internal/virtual"
	"torikumi/pkg/agones"
	"torikumi/pkg/eventually"
	"torikumi/pkg/porttest"
	sdkpb "torikumi/proto/agones/sdk"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// attached is a fleet with one server of its own, to which others can be attached.
func attached(t *testing.T) (_ *harness, sidecars *atomic.Int32) {
	t.Helper()
	sidecars = new(atomic.Int32)
	r := run(t, fleet.Options{Ready: 1, Max: 1, Backend: children(t, conformance.ModeServe), Sidecar: func(_ context.Context, s fleet.Spec) ([]string, func(), error) {
		if s.SidecarListen == "" {
			return nil, nil, nil
		}
		lis, err := net.Listen("tcp", s.SidecarListen)
		if err != nil {
			return nil, nil, err
		}
		sidecars.Add(1)
		return []string{"GATE=" + lis.Addr().String()}, func() { _ = lis.Close(); sidecars.Add(-1) }, nil
	}})
	waitReady(t, r, 1)
	return r, sidecars
}

func port(t *testing.T) int32 { t.Helper(); return int32(porttest.Hold(t).Port()) }

func attachRequest(t *testing.T) *torikumiv1.AttachRequest {
	t.Helper()
	return &torikumiv1.AttachRequest{Address: "127.0.0.1", Port: 7777, SdkGrpcPort: port(t), SdkHttpPort: port(t), GatePort: port(t)}
}

type attachStream = grpc.ServerStreamingClient[torikumiv1.AttachResponse]

// attach calls until the test ends, or detach.
func (r *harness) attach(t *testing.T, req *torikumiv1.AttachRequest) (stream attachStream, detach context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	stream, err := torikumiv1.NewAttachmentServiceClient(r.conn).Attach(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	return stream, cancel
}

// hear returns the first answer with a state.
func hear(t *testing.T, stream attachStream, state string) *torikumiv1.AttachResponse {
	t.Helper()
	for {
		answer, err := stream.Recv()
		if err != nil {
			t.Fatalf("before %s: %v", state, err)
		}
		if answer.GetGameServer().GetState() == state {
			return answer
		}
	}
}

// sdkOf is the SDK of what is attached.
func sdkOf(t *testing.T, req *torikumiv1.AttachRequest) sdkpb.SDKClient {
	t.Helper()
	conn, err := grpc.NewClient(net.JoinHostPort("127.0.0.1", strconv.Itoa(int(req.GetSdkGrpcPort()))), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return sdkpb.NewSDKClient(conn)
}

// TestAttachment: a server that is attached gets the next match, and each after it, as a new
// game server behind the same SDK.
func TestAttachment(t *testing.T) {
	r, sidecars := attached(t)
	req := attachRequest(t)
	stream, detach := r.attach(t, req)
	first := hear(t, stream, agones.Scheduled)
	for _, want := range []string{"PORT=7777", agones.SDKGRPCPortEnv + "=" + strconv.Itoa(int(req.GetSdkGrpcPort())), "GATE=127.0.0.1:" + strconv.Itoa(int(req.GetGatePort()))} {
		if !slices.Contains(first.GetEnvironment(), want) {
			t.Errorf("%q lacks %s", first.GetEnvironment(), want)
		}
	}
	sdk, c := sdkOf(t, req), clients(r)
	var names []string
	for _, match := range []string{"m-1", "m-2"} {
		name := hear(t, stream, agones.Ready).GetGameServer().GetName()
		names = append(names, name)
		got := c.take(t, match)
		if got.GetGameServerName() != name || got.GetAddress() != "127.0.0.1" || got.GetPorts()[0].GetPort() != 7777 {
			t.Fatalf("%s gets %v, not %s", match, got, name)
		}
		hear(t, stream, agones.Allocated)
		// A program that was started late says Ready: the match stays.
		if _, err := sdk.Ready(t.Context(), &sdkpb.Empty{}); err != nil {
			t.Fatal(err)
		}
		if s, err := sdk.GetGameServer(t.Context(), &sdkpb.Empty{}); err != nil || s.GetObjectMeta().GetName() != name || s.GetStatus().GetState() != agones.Allocated {
			t.Errorf("its SDK shows %v, %v", s, err)
		}
		if _, err := sdk.Shutdown(t.Context(), &sdkpb.Empty{}); err != nil {
			t.Fatal(err)
		}
		hear(t, stream, agones.Shutdown)
	}
	if names[0] == names[1] {
		t.Error("two matches had one game server")
	}
	hear(t, stream, agones.Ready)
	detach()
	eventually.True(t, "nothing is left of it", func() bool { return len(r.Snapshot().Servers) == 1 && sidecars.Load() == 0 })
	if got := c.take(t, "m-3").GetPorts()[0].GetPort(); got == 7777 {
		t.Error("a match is sent to a server that is detached")
	}
	for _, port := range []int32{req.GetSdkGrpcPort(), req.GetSdkHttpPort(), req.GetGatePort()} {
		eventually.NoError(t, "its ports are free", func() error {
			lis, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
			return errors.Join(err, closeIt(lis))
		})
	}
}

func closeIt(lis net.Listener) error {
	if lis == nil {
		return nil
	}
	return lis.Close()
}

// TestAttachOnce detaches when the match is over; meanwhile no other server is used.
func TestAttachOnce(t *testing.T) {
	r, _ := attached(t)
	req := attachRequest(t)
	req.Once, req.Exclusive, req.WaitReady = true, true, true
	stream, _ := r.attach(t, req)
	hear(t, stream, agones.Scheduled)
	c, sdk := clients(r), sdkOf(t, req)
	if _, err := sdk.Shutdown(t.Context(), &sdkpb.Empty{}); err != nil { // without a match
		t.Fatal(err)
	}
	hear(t, stream, agones.Shutdown)
	hear(t, stream, agones.Scheduled)
	if got, err := c.ask(t.Context(), "m-1"); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("before it says Ready: %v, %v", got, err)
	}
	if _, err := sdk.Ready(t.Context(), &sdkpb.Empty{}); err != nil {
		t.Fatal(err)
	}
	hear(t, stream, agones.Ready)
	if got := c.take(t, "m-1").GetPorts()[0].GetPort(); got != 7777 {
		t.Errorf("the match is sent to port %d", got)
	}
	if got, err := c.ask(t.Context(), "m-2"); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("while it is in use: %v, %v", got, err)
	}
	_, _ = sdk.Shutdown(t.Context(), &sdkpb.Empty{}) // its SDK server may end before it has answered
	for {
		if _, err := stream.Recv(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if got := c.take(t, "m-2").GetPorts()[0].GetPort(); got == 7777 {
		t.Error("it is attached still")
	}
}

// TestAttachReadyEarly: a server that says Ready while its gate starts is Ready only then.
func TestAttachReadyEarly(t *testing.T) {
	begun, begin := make(chan struct{}), make(chan struct{})
	r := run(t, fleet.Options{Ready: 1, Max: 1, Backend: children(t, conformance.ModeServe), Sidecar: func(_ context.Context, s fleet.Spec) ([]string, func(), error) {
		if s.SidecarListen != "" {
			begun <- struct{}{}
			<-begin
		}
		return nil, func() {}, nil
	}})
	waitReady(t, r, 1)
	req := attachRequest(t)
	req.WaitReady = true
	stream, _ := r.attach(t, req)
	<-begun
	if _, err := sdkOf(t, req).Ready(t.Context(), &sdkpb.Empty{}); err != nil {
		t.Fatal(err)
	}
	if got := clients(r).take(t, "m-1").GetPorts()[0].GetPort(); got == 7777 {
		t.Error("a match is sent to a server without a gate")
	}
	close(begin)
	hear(t, stream, agones.Ready)
	if got := clients(r).take(t, "m-2").GetPorts()[0].GetPort(); got != 7777 {
		t.Errorf("the match is sent to port %d", got)
	}
}

// TestAttachDeleted: a server that the director deletes is replaced, and the fleet's stop
// ends the attachment.
func TestAttachDeleted(t *testing.T) {
	r, sidecars := attached(t)
	stream, _ := r.attach(t, attachRequest(t))
	s := hear(t, stream, agones.Ready).GetGameServer()
	if _, err := clients(r).servers.DeleteGameServer(t.Context(), &torikumiv1.DeleteGameServerRequest{Namespace: s.GetNamespace(), Name: s.GetName(), Uid: s.GetUid()}); err != nil {
		t.Fatal(err)
	}
	if again := hear(t, stream, agones.Ready).GetGameServer(); again.GetName() == s.GetName() {
		t.Error("it was not deleted")
	}
	ended := make(chan error, 1)
	go func() {
		var err error
		for err == nil {
			_, err = stream.Recv()
		}
		ended <- err
	}()
	r.stop()
	if err := <-ended; status.Code(err) != codes.Unavailable && status.Code(err) != codes.Canceled {
		t.Errorf("the attachment ends with %v", err)
	}
	if sidecars.Load() != 0 {
		t.Error("a sidecar runs still")
	}
}

func TestAttachRefused(t *testing.T) {
	r, _ := attached(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	inUse := int32(taken.Addr().(*net.TCPAddr).Port)
	for name, c := range map[string]struct {
		edit func(*torikumiv1.AttachRequest)
		want codes.Code
	}{
		"no address":      {func(r *torikumiv1.AttachRequest) { r.Address = "" }, codes.InvalidArgument},
		"a name":          {func(r *torikumiv1.AttachRequest) { r.Address = "localhost" }, codes.InvalidArgument},
		"all addresses":   {func(r *torikumiv1.AttachRequest) { r.Address = "0.0.0.0" }, codes.InvalidArgument},
		"no port":         {func(r *torikumiv1.AttachRequest) { r.Port = 0 }, codes.InvalidArgument},
		"too high a port": {func(r *torikumiv1.AttachRequest) { r.GatePort = 70000 }, codes.InvalidArgument},
		"a past silence":  {func(r *torikumiv1.AttachRequest) { r.HealthTimeout = durationpb.New(-1) }, codes.InvalidArgument},
		"SDK port taken":  {func(r *torikumiv1.AttachRequest) { r.SdkHttpPort = inUse }, codes.FailedPrecondition},
		"gate port taken": {func(r *torikumiv1.AttachRequest) { r.GatePort = inUse }, codes.FailedPrecondition},
	} {
		req := attachRequest(t)
		c.edit(req)
		stream, _ := r.attach(t, req)
		if answer, err := stream.Recv(); status.Code(err) != c.want {
			t.Errorf("%s: %v, %v", name, answer, err)
		}
	}
	eventually.True(t, "nothing is left of them", func() bool { return len(r.Snapshot().Servers) == 1 })

	nobody := run(t, fleet.Options{Ready: 1, Max: 1, Backend: new(virtual.Backend)})
	stream, _ := nobody.attach(t, attachRequest(t))
	if answer, err := stream.Recv(); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("a virtual fleet: %v, %v", answer, err)
	}
}
