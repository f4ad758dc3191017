package matchmaker

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"

	"torikumi/frontend/internal/endpoints"
	"torikumi/pkg/rpc"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// A director that has come is found, and one that was lost is subscribed to again,
// within 2 s: the names are looked up every second, and a try to connect waits for
// at most 1.2 s of the connection and 0.5 s of ours.
const (
	lookUpEvery      = time.Second
	connectPause     = time.Second
	subscribePause   = 500 * time.Millisecond
	directorSilence  = 15 * time.Second // the least that a director takes is 10 s
	directorDeadLine = 5 * time.Second
)

// listeners are the subscriptions to the directors, one to each address. They
// belong to the goroutine of listenToAll.
type listeners struct {
	client *Client
	known  map[string]*listener
	work   sync.WaitGroup
	// lost asks for a look-up now; ended has those that have given up.
	lost  chan struct{}
	ended chan *listener
}

// listener hears the announcements of one director.
type listener struct {
	addr string
	// host is that of the name, which the director's certificate carries.
	host string
	// wanted says that the address is one of a name's. The subscription to another
	// goes on until it ends, as a director that stops announces what it finishes.
	wanted atomic.Bool
	// position is that of the last announcement.
	position string
}

// listenToAll hears the announcements of all directors, as their addresses come and
// go, until ctx ends.
func (c *Client) listenToAll(ctx context.Context) {
	l := &listeners{
		client: c, known: make(map[string]*listener), lost: make(chan struct{}, 1), ended: make(chan *listener),
	}
	defer l.work.Wait()
	names := endpoints.NewNames(c.options.Directors, c.options.LookUp, c.logger.With("setting", "--directors"), "the director's name cannot be looked up: its assignments are found late, by reading tickets")
	for ctx.Err() == nil {
		l.update(ctx, names.Addresses(ctx))
		again := time.After(lookUpEvery)
		for wait := true; wait; {
			select {
			case <-ctx.Done():
				return
			case gone := <-l.ended:
				delete(l.known, gone.addr)
			case <-l.lost:
				wait = false
			case <-again:
				wait = false
			}
		}
	}
}

// update starts a listener for each new address.
func (l *listeners) update(ctx context.Context, current map[string]string) {
	for addr, known := range l.known {
		_, wanted := current[addr]
		known.wanted.Store(wanted)
	}
	for addr, host := range current {
		if l.known[addr] != nil {
			continue
		}
		director := &listener{addr: addr, host: host}
		director.wanted.Store(true)
		l.known[addr] = director
		l.work.Go(func() {
			l.client.listen(ctx, director, l.lost)
			select {
			case l.ended <- director:
			case <-ctx.Done():
			}
		})
	}
}

// listen hears the announcements of one director, and subscribes again whenever
// the stream ends, for as long as its address is wanted.
func (c *Client) listen(ctx context.Context, l *listener, lost chan<- struct{}) {
	health := rpc.NewHealth(c.logger.With("setting", "--directors", "director", l.addr),
		"no announcements from the director: its assignments are found late, by reading tickets", "")
	conn, err := endpoints.Dial(c.options.TLS, l.addr, l.host,
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: connectPause},
			MinConnectTimeout: connectPause,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: directorSilence, Timeout: directorDeadLine}))
	if err != nil {
		health.Down(err)
		return
	}
	defer func() { _ = conn.Close() }() // nothing is under way any more
	pause := rpc.Backoff{Min: 50 * time.Millisecond, Max: subscribePause}
	for {
		subscribed, err := c.subscribe(ctx, conn, l)
		if ctx.Err() != nil {
			return
		}
		if subscribed {
			pause.Reset()
			health.Up()
		}
		health.Down(err)
		select {
		case lost <- struct{}{}:
		default:
		}
		if pause.Wait(ctx) != nil || !l.wanted.Load() {
			return
		}
	}
}

// subscribe returns when the stream has ended, and whether it ever stood.
func (c *Client) subscribe(ctx context.Context, conn *grpc.ClientConn, l *listener) (subscribed bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := torikumiv1.NewAnnouncementServiceClient(conn).Subscribe(ctx, &torikumiv1.SubscribeRequest{
		Subscriber: c.options.Name, After: l.position,
	})
	if err != nil {
		return false, err
	}
	header, err := stream.Header()
	if err != nil {
		return false, err
	}
	if header == nil {
		// The stream ended before it stood.
		_, err := stream.Recv()
		return false, err
	}
	c.logger.InfoContext(ctx, "subscribed to the director's announcements", "director", l.addr)
	defer c.directors.add(conn)()
	c.metrics.directors.Inc() // last: who has seen it finds that the director is asked
	defer c.metrics.directors.Dec()
	// What a director before this one has assigned is not repeated.
	c.reconcileSoon()
	for {
		a, err := stream.Recv()
		if err != nil {
			return true, err
		}
		l.position = a.GetPosition()
		if p := a.GetProposal(); p != nil {
			c.proposed(ctx, p)
			continue
		}
		c.heard(ctx, a)
		c.metrics.announcements.Inc() // last: who has seen it finds it done
	}
}

// heard applies what a director says of tickets, later if the store is out of reach.
func (c *Client) heard(ctx context.Context, a *torikumiv1.Announcement) {
	_, err := c.apply(ctx, a.GetTicketIds(), a.GetConnection(), a.GetDetails())
	if errors.Is(err, errUnchecked) {
		c.missed.add(a)
	}
	if err != nil {
		// A reading finds what is too much to be kept, and creates tickets anew that could not
		// be. It pauses while it cannot.
		c.reconcileSoon()
	}
}
