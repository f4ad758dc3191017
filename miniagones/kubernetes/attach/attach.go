// Package attach puts a game server that somebody has started themselves, in an editor
// or a debugger, into a cluster: a GameServer with the annotation agones.dev/dev-address,
// which Agones neither starts nor ends, with its SDK server on this machine. On a player's
// path it is where the next match is sent to. It works with Agones and with miniagones.
package attach

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"torikumi/miniagones/internal/sdkserver"
	v1 "torikumi/miniagones/kubernetes/api/v1"
	"torikumi/miniagones/kubernetes/internal/sdk"
	"torikumi/pkg/agones"
	"torikumi/pkg/rpc"
	sdkpb "torikumi/proto/agones/sdk"
)

// Label, with the value "true", is on the GameServers that this package makes, so that
// queues can prefer them.
const Label = "torikumi/attached"

// Annotations of those GameServers.
const (
	// renewedAnnotation is written anew as long as somebody keeps the server attached. It is
	// a time, for people: machines go by its changes alone, as clocks differ.
	renewedAnnotation = "torikumi/attached-renewed"
	byAnnotation      = "torikumi/attached-by"
)

// detachTimeout bounds one attempt to delete the GameServer at the end.
const detachTimeout = 10 * time.Second

// Times are those of an attachment. Zero ones are the defaults.
type Times struct {
	// Renew is how often an attached GameServer is marked as such: 20 s.
	Renew time.Duration
	// Lease is how long the mark of a GameServer is seen to stand still before that is taken
	// for left behind: 90 s. It has to be the same for all who attach in a namespace, and
	// several times Renew. One with a match is taken for that only when its gate would have
	// ended it besides.
	Lease time.Duration
	// NoShow and LongestMatch are when the gates end a match that nobody has come to, and any:
	// those of Options.Gate. The times that a match has of its own come before them. Zero: never.
	NoShow, LongestMatch time.Duration
	// Patience is how long the cluster may take to make the GameServer Ready until it is said
	// that it has not: 10 s.
	Patience time.Duration
}

func (t Times) orDefaults() Times {
	t.Renew, t.Lease, t.Patience = cmp.Or(t.Renew, 20*time.Second), cmp.Or(t.Lease, 90*time.Second), cmp.Or(t.Patience, 10*time.Second)
	return t
}

// Options say what is attached, and where.
type Options struct {
	Cluster   *Cluster
	Namespace string
	// Fleet is whose servers it stands in for: it has their labels, and the name and
	// protocol of their port. Empty: the namespace has one Fleet.
	Fleet string
	// Host and Port are where players reach the server.
	Host string
	Port int32
	// SDKGRPC and SDKHTTP are where the SDK server listens, on loopback.
	SDKGRPC, SDKHTTP string
	// WaitReady sends matches only after the server has said Ready, for each anew.
	WaitReady bool
	// Once ends with the first match.
	Once bool
	// Health is how long a server that has given signs of life may give none; zero: for
	// ever, as a debugger may hold it.
	Health time.Duration
	// By says who attaches, for others who look at the cluster.
	By string
	// Gate starts the gate of a server; stop ends it. One that ends unasked calls failed, if
	// that is before stop is called. Required.
	Gate func(ctx context.Context, s Server, failed func(error)) (stop func(), err error)
	// Tell is told of each change, one after the other. Required.
	Tell func(News)
	// Guard is told which GameServer there is, and that there is none any more, so that it
	// can delete it when this process is killed. Required.
	Guard func(namespace, name, uid string)
	Times Times
	// Logger must not be nil.
	Logger *slog.Logger
}

// Server is an attached GameServer, as its gate has to know it.
type Server struct {
	Namespace, Name  string
	SDKGRPC, SDKHTTP string
	// Gate are the settings of the gates of the Fleet.
	Gate GateSettings
}

// States of News beside Agones's.
const (
	// Claimed: the GameServer, made by somebody else, has the address. Whether it is still
	// kept attached is seen within Times.Lease.
	Claimed = "Claimed"
	// Deleted: somebody in the cluster has deleted it.
	Deleted = "Deleted"
	// Waiting: the cluster has not made it Ready within Times.Patience.
	Waiting = "Waiting"
)

// News is what has become of the GameServer.
type News struct {
	Name, State string
	// By is who has made it, with Claimed.
	By string
	// Match is the label torikumi/match; with Claimed that of a match that is played.
	Match string
	// Open says that the next match can be sent to it.
	Open bool
}

// attachment is one server after the other, as each match ends its GameServer, behind one
// SDK server, as the program goes on.
type attachment struct {
	o     Options
	fleet *fleet
	sdk   *sdkserver.Server
	now   current
	left  *leftovers
	own   atomic.Pointer[types.UID] // of the GameServer that there is now

	opened   atomic.Bool // a GameServer was open to matches
	troubles troubles
	sweeping troubles    // with the servers of others
	fail     func(error) // ends it all

	telling sync.Mutex
}

func (a *attachment) tell(n News) {
	a.telling.Lock()
	defer a.telling.Unlock()
	a.o.Tell(n)
}

// Run keeps a server attached until ctx ends, or with Once a match is over. Nothing is left
// in the cluster when it returns, unless the error says so, or the cluster is out of reach:
// then it is for the guard to delete the GameServer.
func Run(ctx context.Context, o Options) error {
	if err := o.Cluster.allowed(ctx, o.Namespace); err != nil {
		return err
	}
	f, err := o.Cluster.fleet(ctx, o.Namespace, o.Fleet)
	if err != nil {
		return err
	}
	o.Times = o.Times.orDefaults()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	a := &attachment{
		o: o, fleet: f, left: &leftovers{times: o.Times, address: address(o.Host, o.Port)}, fail: cancel,
		troubles: troubles{
			cluster: o.Cluster, log: o.Logger,
			begin: "the cluster does not hear of the server, and its matches are not heard of here", end: "the cluster hears of the server again",
		},
		sweeping: troubles{
			cluster: o.Cluster, log: o.Logger,
			begin: "attached servers that nobody keeps cannot be deleted", end: "attached servers that nobody keeps are deleted again",
		},
	}
	a.sdk, err = sdkserver.Serve(&a.now, sdkserver.Options{
		GRPCListen: o.SDKGRPC, HTTPListen: o.SDKHTTP, NoPlayers: true, Failed: func(err error) { cancel(fmt.Errorf("the SDK server: %w", err)) },
	})
	if err != nil {
		return fmt.Errorf("start the SDK server: %w", err)
	}
	defer a.sdk.Close()
	if err := a.claim(ctx); err != nil {
		return unlessStopped(ctx, err)
	}
	var sweeping sync.WaitGroup
	sweeping.Go(func() { a.sweep(ctx) })
	defer sweeping.Wait()
	defer cancel(nil)
	return a.serveAll(ctx)
}

// unlessStopped is err, or what else has ended ctx, or nil if ctx was to end.
func unlessStopped(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if cause != nil && errors.Is(err, context.Canceled) {
		err = nil
	}
	if errors.Is(cause, context.Canceled) {
		cause = nil
	}
	return errors.Join(cause, err)
}

// retryMax is the longest pause between two GameServers.
const retryMax = 30 * time.Second

// serveAll has one GameServer after the other. What the cluster refuses before the first one
// was open is for the user to mend; later it may be the cluster that has to come back.
func (a *attachment) serveAll(ctx context.Context) error {
	backoff := rpc.Backoff{Min: 500 * time.Millisecond, Max: retryMax}
	for {
		began := time.Now()
		played, err := a.serve(ctx)
		switch {
		case ctx.Err() != nil:
			return unlessStopped(ctx, err)
		case err != nil && (!passing(err) || !a.opened.Load()):
			return err
		case err != nil:
			a.troubles.say(err)
		case played && a.o.Once:
			return nil
		}
		if played || time.Since(began) > retryMax {
			backoff.Reset()
		}
		if err != nil || !played {
			_ = backoff.Wait(ctx) // the next attempt sees that ctx is over
		}
	}
}

// serve has one GameServer to its end, and reports whether it had a match.
func (a *attachment) serve(ctx context.Context) (played bool, err error) {
	gs, err := a.create(ctx)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, a.remove(ctx, gs)) }()
	serving, cancel := context.WithCancel(ctx) // ctx goes on: remove makes more than one attempt
	defer cancel()
	server := sdk.New(a.o.Cluster.client, client.ObjectKeyFromObject(gs), a.o.Logger)
	step := &step{attachment: a, gs: gs, wanted: !a.o.WaitReady, hosting: make(chan struct{})}
	ended, err := a.watch(serving, gs, server.Handler(), server.Run, step.wait)
	if err != nil {
		return false, err
	}
	defer func() { cancel(); ended() }()
	a.now.set(server, step.saidReady)
	defer step.end(serving)
	err = server.Watch(serving, func(seen *sdkpb.GameServer) error { return step.see(serving, seen) })
	switch {
	case errors.Is(err, errOver), serving.Err() != nil:
		return step.played, nil
	case err == nil: // it was deleted without being seen to end
		step.over = true
		a.tell(News{Name: gs.Name, State: Deleted})
	}
	return step.played, err
}

// errOver says that a server has come to its end.
var errOver = errors.New("the server is over")

// create makes the GameServer. Nobody is sent to it before it is opened. When ctx ends
// meanwhile, the answer is waited for: without it nobody knew what there is to delete.
func (a *attachment) create(ctx context.Context) (*v1.GameServer, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	gs := a.fleet.server(a.o)
	if err := a.o.Cluster.client.Create(ctx, gs); err != nil {
		return nil, a.o.Cluster.explain(fmt.Errorf("create a GameServer: %w", err))
	}
	a.own.Store(&gs.UID)
	a.o.Guard(gs.Namespace, gs.Name, string(gs.UID))
	return gs, nil
}

// remove deletes the GameServer, also when ctx is over: then it makes one attempt, and the
// guard the next ones.
func (a *attachment) remove(ctx context.Context, gs *v1.GameServer) error {
	backoff := rpc.Backoff{Min: 500 * time.Millisecond, Max: retryMax}
	for {
		last := ctx.Err() != nil
		err := a.removeOnce(ctx, gs)
		switch {
		case err == nil:
			a.o.Guard("", "", "")
			return nil
		case !passing(err):
			return fmt.Errorf("GameServer %s/%s is left behind, delete it with kubectl: %w", gs.Namespace, gs.Name, err)
		case last:
			return nil
		}
		a.troubles.say(err)
		_ = backoff.Wait(ctx) // the last attempt comes when ctx is over
	}
}

func (a *attachment) removeOnce(ctx context.Context, gs *v1.GameServer) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), detachTimeout)
	defer cancel()
	return a.o.Cluster.explain(a.o.Cluster.remove(ctx, gs.Namespace, gs.Name, string(gs.UID)))
}

// watch follows the GameServer until ctx ends, and marks it as attached, and runs more
// beside that; then ended returns when nothing of it is left.
func (a *attachment) watch(ctx context.Context, gs *v1.GameServer, to toolscache.ResourceEventHandler, more ...func(context.Context) error) (ended func(), err error) {
	seen, err := cache.New(a.o.Cluster.config, cache.Options{
		HTTPClient: &http.Client{Transport: a.o.Cluster.login}, Scheme: a.o.Cluster.scheme, Mapper: mapper(),
		DefaultNamespaces:        map[string]cache.Config{gs.Namespace: {}},
		DefaultFieldSelector:     fields.OneTermEqualSelector("metadata.name", gs.Name),
		DefaultWatchErrorHandler: a.troubles.ofWatch,
	})
	if err != nil {
		return nil, fmt.Errorf("watch the GameServer: %w", err)
	}
	informer, err := seen.GetInformer(ctx, &v1.GameServer{}, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, fmt.Errorf("watch the GameServer: %w", err)
	}
	if _, err := informer.AddEventHandler(to); err != nil {
		return nil, fmt.Errorf("watch the GameServer: %w", err)
	}
	var all sync.WaitGroup
	for _, run := range append(more, seen.Start, func(ctx context.Context) error { return a.renew(ctx, gs) }) {
		all.Go(func() { _ = run(ctx) }) // they end with ctx
	}
	return all.Wait, nil
}

// renew shows that the server is still attached.
func (a *attachment) renew(ctx context.Context, gs *v1.GameServer) error {
	for now := range rpc.Ticks(ctx, a.o.Times.Renew) {
		_, err := a.o.Cluster.patch(ctx, gs, map[string]any{"annotations": map[string]string{renewedAnnotation: mark(now)}})
		if err != nil && ctx.Err() == nil && !apierrors.IsNotFound(err) { // that it is over see says
			a.troubles.say(fmt.Errorf("mark the GameServer as attached: %w", err))
		}
	}
	return nil
}

func mark(now time.Time) string { return now.UTC().Format(time.RFC3339Nano) }

// server is the GameServer of a fleet's labels and port at an address.
func (f *fleet) server(o Options) *v1.GameServer {
	health := v1.Health{Disabled: true, PeriodSeconds: 5, FailureThreshold: 3, InitialDelaySeconds: 5}
	if o.Health > 0 {
		health = v1.Health{PeriodSeconds: int32(max(o.Health, time.Second) / time.Second), FailureThreshold: 1, InitialDelaySeconds: 1}
	}
	port := v1.GameServerPort{Name: f.port.Name, Protocol: f.port.Protocol, PortPolicy: v1.Static, ContainerPort: o.Port, HostPort: o.Port}
	return &v1.GameServer{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: o.Namespace, GenerateName: "attached-",
			Labels: map[string]string{Label: "true"},
			Annotations: map[string]string{
				agones.DevAddressAnnotation: o.Host, renewedAnnotation: mark(time.Now()), byAnnotation: o.By,
			},
		},
		Spec: v1.GameServerSpec{
			Ports: []v1.GameServerPort{port}, Health: health, Counters: f.counters, Lists: f.lists,
			// No pod is made of it; the API wants one.
			Template: runtime.RawExtension{Raw: []byte(`{"spec":{"containers":[{"name":"attached","image":"attached"}]}}`)},
		},
	}
}
