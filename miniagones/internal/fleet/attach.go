package fleet

import (
	"context"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/miniagones/internal/request"
	"torikumi/miniagones/internal/sdkserver"
	"torikumi/miniagones/internal/state"
	"torikumi/pkg/agones"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// attachments lets callers add servers that they have started themselves.
type attachments struct {
	torikumiv1.UnimplementedAttachmentServiceServer
	fleet *Fleet
}

func (a *attachments) Attach(req *torikumiv1.AttachRequest, stream grpc.ServerStreamingServer[torikumiv1.AttachResponse]) error {
	if err := request.CheckAttach(req); err != nil {
		return err
	}
	return (&attachment{fleet: a.fleet, req: req, send: stream.Send}).run(stream.Context())
}

// attachment is a program that is not the fleet's. It has one server after the other,
// each of which ends as others do, and one SDK server, as the program goes on.
type attachment struct {
	fleet *Fleet
	req   *torikumiv1.AttachRequest
	send  func(*torikumiv1.AttachResponse) error
	sdk   *sdkserver.Server
	// name is that of the server that there is now.
	name atomic.Pointer[string]
	told bool

	// gated and wanted are of that server, under the fleet's lock: it has its gate, and it has
	// said Ready before.
	gated, wanted bool
}

func (a *attachment) current() string {
	if name := a.name.Load(); name != nil {
		return *name
	}
	return ""
}

// run returns when the caller has gone, or the fleet stops, and nothing is left.
func (a *attachment) run(ctx context.Context) error {
	f := a.fleet
	if f.silent {
		return status.Error(codes.FailedPrecondition, "game servers that exist only as addresses have no SDK server and no gate: none can be attached to them")
	}
	sdk, err := sdkserver.Serve(&sdkServer{fleet: f, name: a.current, ready: a.saidReady}, sdkserver.Options{
		GRPCListen: loopback(a.req.GetSdkGrpcPort()), HTTPListen: loopback(a.req.GetSdkHttpPort()),
		Failed: func(err error) { f.opts.Logger.Error("SDK server failed", "gameserver", a.current(), "error", err) },
	})
	if err != nil {
		return status.Errorf(codes.FailedPrecondition, "start the SDK server: %v", err)
	}
	a.sdk = sdk
	defer sdk.Close()
	if a.req.GetExclusive() {
		f.do(func(s *state.Fleet, _ time.Time) { s.AddExclusive(1) })
		defer f.do(func(s *state.Fleet, _ time.Time) { s.AddExclusive(-1) })
	}
	for {
		played, err := a.serve(ctx)
		if err != nil {
			return err
		}
		if a.req.GetOnce() && played || ctx.Err() != nil {
			return nil
		}
	}
}

// serve runs one server to its end, and reports whether it had a match; its defer knows.
func (a *attachment) serve(ctx context.Context) (played bool, err error) {
	own, cancel := context.WithCancel(ctx)
	defer cancel()
	r, sub := a.begin(cancel)
	if r == nil {
		return false, status.Error(codes.Unavailable, "the fleet is stopping")
	}
	f, name := a.fleet, r.spec.Name
	defer func() {
		a.name.Store(nil)
		f.do(func(s *state.Fleet, _ time.Time) {
			last := s.Get(name)
			played = last != nil && last.Annotations[agones.LastAllocatedAnnotation] != ""
			s.Gone(name)
			a.gated, a.wanted = false, false
		})
		f.opts.Logger.Debug("game server is detached", "gameserver", name)
	}()
	defer sub.Close()
	r.spec.Env = r.environment()
	stop, err := r.sidecar(own)
	if err != nil {
		if own.Err() != nil {
			return false, nil
		}
		return false, status.Errorf(codes.FailedPrecondition, "start the gate: %v", err)
	}
	defer stop()
	// Nobody is sent to a server whose gate stops.
	defer f.do(func(s *state.Fleet, now time.Time) { _ = s.Delete(r.spec.Namespace, name, r.spec.UID, "", now) })
	if !a.tell(r.spec.Env) {
		return false, nil
	}
	f.do(func(s *state.Fleet, _ time.Time) {
		if a.gated = true; a.wanted || !a.req.GetWaitReady() {
			_ = s.SDKReady(name) // gone or going, it need not be
		}
	})
	f.opts.Logger.Debug("game server is attached", "gameserver", name)
	for {
		e, err := sub.Next(own)
		if err != nil {
			return false, nil
		}
		if a.send(&torikumiv1.AttachResponse{GameServer: info(e.Server)}) != nil {
			return false, nil
		}
	}
}

// saidReady is what the server's SDK.Ready does. Without a gate it would refuse its players.
func (a *attachment) saidReady(s *state.Fleet) error {
	switch {
	case !a.req.GetWaitReady():
		return nil // it would end a match that is there already
	case a.gated:
		return s.SDKReady(a.current())
	case a.current() == "":
		return state.ErrNotFound
	}
	a.wanted = true
	return nil
}

// tell sends the environment with the first answer, but for the server's name, which does
// not stay.
func (a *attachment) tell(env []string) (sent bool) {
	if a.told {
		return true
	}
	a.told = true
	env = slices.DeleteFunc(env, func(v string) bool { return strings.HasPrefix(v, agones.NameEnv+"=") })
	a.fleet.mu.Lock()
	server := a.fleet.state.Get(a.current())
	a.fleet.mu.Unlock()
	return a.send(&torikumiv1.AttachResponse{GameServer: info(server), Environment: env}) == nil
}

// begin adds a server, which step ends by cancel. It returns nil if the fleet stops.
func (a *attachment) begin(cancel context.CancelFunc) (*runner, *Subscription) {
	f := a.fleet
	place := Place{Address: a.req.GetAddress(), NodeName: "local", Ports: []Port{{Name: "default", Port: a.req.GetPort()}}}
	var r *runner
	var sub *Subscription
	f.do(func(s *state.Fleet, now time.Time) {
		server := s.Attach(state.Attachment{
			Address: place.Address, NodeName: place.NodeName, Ports: place.Ports, Silence: a.req.GetHealthTimeout().AsDuration(),
		}, now)
		if server == nil {
			return
		}
		r = &runner{fleet: f, cancel: cancel, spec: Spec{
			Namespace: server.Namespace, Name: server.Name, UID: server.UID, Place: place,
			SDKGRPC: a.sdk.GRPC, SDKHTTP: a.sdk.HTTP, SidecarListen: loopback(a.req.GetGatePort()),
		}}
		f.running[server.Name] = r
		a.name.Store(&server.Name)
		sub = f.subscribe(server.Name, serverQueue)
	})
	return r, sub
}

func loopback(port int32) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))) }
