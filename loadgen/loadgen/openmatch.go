package loadgen

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"torikumi/pkg/contract"
	"torikumi/proto/openmatch"
)

// target is where tickets go. It is safe for concurrent use.
type target interface {
	// ping fails if nobody is there.
	ping(ctx context.Context) error
	// create makes ticket i.
	create(ctx context.Context, i int) (ticket, error)
	// await waits for the ticket's assignment, and calls seen for it and for
	// whatever the assignment is changed to after that. It returns nil when
	// the ticket was assigned and is done with.
	await(ctx context.Context, t ticket, seen func(place)) error
	// abandon withdraws a ticket that was lost, even if ctx has ended.
	abandon(ctx context.Context, t ticket)
	// play lets the player of an assigned ticket join, stay and leave, if the
	// settings want that; the ticket is not used after it.
	play(ctx context.Context, t ticket, at place, s *stats)
	close()
}

type ticket struct {
	id     string
	region int
	// conn is which connection it uses.
	conn int
	// bearer is the token of the player whose it is, at our frontend.
	bearer string
}

const (
	// linger is how long an assigned ticket is watched for a change of its
	// assignment, unless the watch ends before because the ticket is deleted.
	linger = 2 * time.Second
	// deleteTimeout bounds a deletion.
	deleteTimeout = 10 * time.Second
	// shapes is how many different tickets of a region take turns.
	shapes = 4096
	// idleTag is on tickets that no queue takes.
	idleTag = contract.ModeTagPrefix + "idle-watchers-of-a-load-test"
)

// openMatch is Open Match's frontend service.
type openMatch struct {
	cfg *Config
	connections[openmatch.FrontendServiceClient]
	// tickets are the encoded requests: region by region, shape by shape.
	tickets [][]encoded
	// undeleted hears of tickets that could not be deleted.
	undeleted func(error)
}

func newOpenMatch(cfg *Config, undeleted func(error)) (*openMatch, error) {
	o := &openMatch{cfg: cfg, undeleted: undeleted}
	if err := o.encode(); err != nil {
		return nil, err
	}
	var err error
	o.connections, err = dial(cfg.OpenMatch, cfg.Connections, openmatch.NewFrontendServiceClient, grpc.WithDefaultCallOptions(grpc.ForceCodecV2(newCodec())))
	return o, err
}

func (o *openMatch) encode() error {
	rng := rand.New(rand.NewPCG(uint64(o.cfg.Seed), 0))
	n := shapes
	if o.cfg.shape != nil {
		n = 1
	}
	for r := range o.cfg.regions() {
		var list []encoded
		for range n {
			b, err := proto.Marshal(&openmatch.CreateTicketRequest{Ticket: o.cfg.ticket(r, rng)})
			if err != nil {
				return fmt.Errorf("encode a ticket: %w", err)
			}
			list = append(list, b)
		}
		o.tickets = append(o.tickets, list)
	}
	return nil
}

// regions is how many regions tickets are dealt to; one if none is named.
func (c *Config) regions() int {
	if c.shape != nil {
		return 1
	}
	return max(len(c.Regions), 1)
}

func (c *Config) ticket(r int, rng *rand.Rand) *openmatch.Ticket {
	if c.shape != nil {
		return c.shape
	}
	f := &openmatch.SearchFields{
		Tags: []string{contract.ModeTagPrefix + c.Queue},
		DoubleArgs: map[string]float64{
			contract.SkillArg:   c.Skill + c.SkillDev*rng.NormFloat64(),
			contract.LatencyArg: 20 + 60*rng.Float64(),
		},
	}
	if len(c.Regions) > 0 {
		f.StringArgs = map[string]string{contract.RegionArg: c.Regions[r]}
	}
	return &openmatch.Ticket{SearchFields: f}
}

// ping opens every connection.
func (o *openMatch) ping(ctx context.Context) error {
	for _, c := range o.clients {
		if _, err := c.GetTicket(ctx, &openmatch.GetTicketRequest{TicketId: "none"}); !answered(err) {
			return fmt.Errorf("Open Match's frontend at %s does not answer: %w", o.cfg.OpenMatch, err)
		}
	}
	return nil
}

func (o *openMatch) create(ctx context.Context, i int) (ticket, error) {
	r := i % len(o.tickets)
	list := o.tickets[r]
	return o.send(ctx, ticket{region: r, conn: i % len(o.conns)}, list[i/len(o.tickets)%len(list)])
}

func (o *openMatch) send(ctx context.Context, t ticket, request encoded) (ticket, error) {
	var id ticketID
	err := o.conns[t.conn].Invoke(ctx, openmatch.FrontendService_CreateTicket_FullMethodName, request, &id)
	t.id = string(id)
	return t, err
}

func (o *openMatch) createIdle(ctx context.Context, i int) (ticket, error) {
	request, err := proto.Marshal(&openmatch.CreateTicketRequest{Ticket: &openmatch.Ticket{
		SearchFields: &openmatch.SearchFields{Tags: []string{idleTag}},
	}})
	if err != nil {
		return ticket{}, err
	}
	return o.send(ctx, ticket{conn: i % len(o.conns)}, request)
}

func (o *openMatch) await(ctx context.Context, t ticket, seen func(place)) error {
	if o.cfg.Wait == Poll {
		return o.poll(ctx, t, seen)
	}
	return o.watch(ctx, t, seen)
}

// watch reads the stream on after the assignment, as a change could follow: to
// its end when the ticket is deleted, but not for longer than linger.
func (o *openMatch) watch(ctx context.Context, t ticket, seen func(place)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := o.clients[t.conn].WatchAssignments(ctx, &openmatch.WatchAssignmentsRequest{TicketId: t.id})
	if err != nil {
		return err
	}
	assigned := false
	for {
		resp, err := stream.Recv()
		if err != nil {
			if assigned {
				return nil
			}
			return err
		}
		p, ok := placeOf(resp.GetAssignment())
		if !ok {
			continue
		}
		seen(p)
		if !assigned {
			assigned = true
			if o.cfg.Delete {
				o.abandon(ctx, t)
			}
			defer time.AfterFunc(linger, cancel).Stop()
		}
	}
}

func (o *openMatch) poll(ctx context.Context, t ticket, seen func(place)) error {
	tick := time.NewTicker(o.cfg.PollInterval)
	defer tick.Stop()
	for {
		got, err := o.clients[t.conn].GetTicket(ctx, &openmatch.GetTicketRequest{TicketId: t.id})
		if err != nil {
			return err
		}
		if p, ok := placeOf(got.GetAssignment()); ok {
			seen(p)
			if o.cfg.Delete {
				o.abandon(ctx, t)
			}
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// placeOf reads an assignment; false if it assigns nothing.
func placeOf(a *openmatch.Assignment) (place, bool) {
	if a.GetConnection() == "" && len(a.GetExtensions()) == 0 {
		return place{}, false
	}
	p := place{connection: a.GetConnection()}
	if match, at, err := contract.Assigned(a.GetExtensions()); err == nil {
		p.match, p.allocated = match, at
	}
	return p, true
}

// play does nothing: Open Match gives no join tokens.
func (o *openMatch) play(context.Context, ticket, place, *stats) {}

// abandon deletes the ticket: one that nobody waits for would be matched for
// ever with those who do.
func (o *openMatch) abandon(ctx context.Context, t ticket) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteTimeout)
	defer cancel()
	_, err := o.clients[t.conn].DeleteTicket(ctx, &openmatch.DeleteTicketRequest{TicketId: t.id})
	if err != nil && status.Code(err) != codes.NotFound {
		o.undeleted(err)
	}
}

func reason(ctx context.Context, err error) string {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded), status.Code(err) == codes.DeadlineExceeded:
		return lostTimeout
	case status.Code(err) == codes.NotFound:
		return lostNotFound
	case errors.Is(err, errEnded):
		return lostEnded
	}
	return lostStream
}

// Reasons why a ticket is lost.
const (
	lostTimeout  = "timeout"
	lostNotFound = "not_found"
	lostEnded    = "search_ended"
	lostStream   = "stream_error"
)

var errEnded = errors.New("the search ended without an assignment")
