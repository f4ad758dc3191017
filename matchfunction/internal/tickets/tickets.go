// Package tickets reads the pools of a profile from Open Match. On the
// player's path it stands between the query service and the engines.
//
// Most tickets of a pool were there in the last cycle already, and a ticket
// never changes while it waits. So a Reader keeps what it has read: after the
// first time it asks for the ids that are in the pool, and for the tickets
// that are new. What it keeps is disposable: any replica can start with
// nothing, and whatever does not add up makes it read the whole pool again.
package tickets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/pkg/contract"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

const (
	// overlap is how far back new tickets are asked for: the clocks of Open
	// Match's frontends, which date them, differ.
	overlap = 10 * time.Second
	// kept is how long a ticket that is not in its pool any more is kept. It is
	// in a match, and comes back if that fails, after the pendingReleaseTimeout
	// (1 min by default) at the latest.
	kept = 2 * time.Minute
	// mostPools bounds how many pools are kept.
	mostPools = 256
)

// Read is a ticket as it was read. It is shared and must not be changed.
type Read struct {
	Ticket *openmatch.Ticket
	// Details are those of contract.TicketDetails; Err says that there are
	// none.
	Details *torikumiv1.TicketDetails
	Err     error
}

// Decode reads what a ticket carries.
func Decode(t *openmatch.Ticket) Read {
	r := Read{Ticket: t}
	r.Details, r.Err = contract.TicketDetails(t)
	return r
}

// Reader reads pools. It is safe for concurrent use.
type Reader struct {
	Query openmatch.QueryServiceClient
	// Most is how many tickets are kept, of all pools together, 0 for none.
	// Pools that were not read for longest make room; one that is larger by
	// itself is read whole each time.
	Most int
	// Least is how many tickets a pool had last time for it to be worth two
	// calls instead of one.
	Least int
	Now   func() time.Time
	// Whole, if not nil, is called when a whole pool is read.
	Whole func()
	// TooLarge, if not nil, hears of pools with a page that is too large for one
	// message, and whether that was read in parts; else it was left out.
	TooLarge func(p *openmatch.Pool, read bool)

	mu    sync.Mutex
	pools map[string]*pool
}

// pool is what is kept of one.
type pool struct {
	// busy is full while the pool is read; what follows is the reader's.
	busy    chan struct{}
	tickets map[string]*entry
	// newest is the latest creation that has been seen.
	newest time.Time

	// size and used, the number of tickets and the last read, are guarded by
	// Reader.mu.
	size int
	used time.Time
}

type entry struct {
	Read
	seen time.Time
}

// Read returns the tickets of a pool, in no order. Two calls for the same pool
// wait for each other, no longer than their contexts last.
func (r *Reader) Read(ctx context.Context, p *openmatch.Pool) ([]Read, error) {
	if r.Most == 0 {
		return r.whole(ctx, p)
	}
	k, err := r.cached(p)
	if err != nil {
		return nil, err
	}
	select {
	case k.busy <- struct{}{}:
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	defer func() {
		r.account(k)
		<-k.busy
	}()
	if len(k.tickets) > r.Least {
		tickets, ok, err := r.refresh(ctx, p, k)
		if ok || err != nil {
			return tickets, err
		}
	}
	tickets, err := r.whole(ctx, p)
	if err != nil {
		return nil, err
	}
	now, before := r.Now(), k.tickets
	k.tickets, k.newest = nil, time.Time{}
	if len(tickets) <= r.Most {
		k.tickets = make(map[string]*entry, len(tickets))
		for _, t := range tickets {
			k.add(t, now)
		}
		// Those that are in matches would else be unknown when they come back,
		// and each of them a reason to read the whole pool once more.
		for id, e := range before {
			if k.tickets[id] == nil && now.Sub(e.seen) <= kept && len(k.tickets) < r.Most {
				k.tickets[id] = e
			}
		}
	}
	return tickets, nil
}

// cached finds what is kept of a pool.
func (r *Reader) cached(p *openmatch.Pool) (*pool, error) {
	key, err := proto.MarshalOptions{Deterministic: true}.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("pool %q: %w", p.GetName(), err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.pools[string(key)]
	if k == nil {
		if r.pools == nil {
			r.pools = make(map[string]*pool)
		}
		k = &pool{busy: make(chan struct{}, 1)}
		r.pools[string(key)] = k
	}
	k.used = r.Now()
	return k, nil
}

// account notes how much is kept of a pool, and forgets others until what is
// kept is within the bounds.
func (r *Reader) account(k *pool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k.size, k.used = len(k.tickets), r.Now()
	all := 0
	for _, p := range r.pools {
		all += p.size
	}
	for all > r.Most || len(r.pools) > mostPools {
		oldest := ""
		for key, p := range r.pools {
			if p != k && (oldest == "" || p.used.Before(r.pools[oldest].used)) {
				oldest = key
			}
		}
		if oldest == "" {
			return
		}
		all -= r.pools[oldest].size
		delete(r.pools, oldest) // read whole once more, if at all
	}
}

func (k *pool) add(t Read, now time.Time) {
	k.tickets[t.Ticket.GetId()] = &entry{t, now}
	if c := t.Ticket.GetCreateTime(); c != nil && c.CheckValid() == nil && c.AsTime().After(k.newest) {
		// Not from the future: a clock that is ahead would hide all others.
		k.newest = c.AsTime()
		if k.newest.After(now) {
			k.newest = now
		}
	}
}

// refresh brings what is kept up to date. It is not ok if the pool has to be
// read whole: a ticket that is neither known nor new is in it.
func (r *Reader) refresh(ctx context.Context, p *openmatch.Pool, k *pool) ([]Read, bool, error) {
	newer := proto.CloneOf(p)
	if since := timestamppb.New(k.newest.Add(-overlap)); p.GetCreatedAfter() == nil || p.GetCreatedAfter().AsTime().Before(since.AsTime()) {
		newer.CreatedAfter = since
	}
	// Ids first: what comes in between is new then, and not unknown.
	stream, err := r.Query.QueryTicketIds(ctx, &openmatch.QueryTicketIdsRequest{Pool: p})
	ids, err := Collect(stream, err, (*openmatch.QueryTicketIdsResponse).GetIds)
	switch {
	case status.Code(err) == codes.Unimplemented:
		return nil, false, nil // an Open Match that only has whole pools
	case err != nil:
		return nil, false, err
	}
	fresh, err := r.query(ctx, newer)
	if err != nil {
		return nil, false, err
	}
	now := r.Now()
	for _, t := range fresh {
		if _, known := k.tickets[t.GetId()]; !known {
			k.add(Decode(t), now)
		}
	}
	out := make([]Read, 0, len(ids))
	for _, id := range ids {
		e := k.tickets[id]
		if e == nil {
			return nil, false, nil
		}
		e.seen = now
		out = append(out, e.Read)
	}
	for id, e := range k.tickets {
		if now.Sub(e.seen) > kept {
			delete(k.tickets, id)
		}
	}
	if len(k.tickets) > r.Most {
		k.tickets = nil
	}
	return out, true, nil
}

func (r *Reader) whole(ctx context.Context, p *openmatch.Pool) ([]Read, error) {
	if r.Whole != nil {
		r.Whole()
	}
	tickets, err := r.query(ctx, p)
	if err != nil {
		return nil, err
	}
	out := make([]Read, len(tickets))
	for i, t := range tickets {
		out[i] = Decode(t)
	}
	return out, nil
}

func (r *Reader) query(ctx context.Context, p *openmatch.Pool) ([]*openmatch.Ticket, error) {
	return readParts(r, p, func(part *openmatch.Pool) ([]*openmatch.Ticket, error) {
		stream, err := r.Query.QueryTickets(ctx, &openmatch.QueryTicketsRequest{Pool: part})
		return Collect(stream, err, (*openmatch.QueryTicketsResponse).GetTickets)
	})
}

// Backfills returns the backfills of a pool, none if Open Match knows no
// backfills.
func (r *Reader) Backfills(ctx context.Context, p *openmatch.Pool) ([]*openmatch.Backfill, error) {
	backfills, err := readParts(r, p, func(part *openmatch.Pool) ([]*openmatch.Backfill, error) {
		stream, err := r.Query.QueryBackfills(ctx, &openmatch.QueryBackfillsRequest{Pool: part})
		return Collect(stream, err, (*openmatch.QueryBackfillsResponse).GetBackfills)
	})
	if status.Code(err) == codes.Unimplemented {
		return nil, nil
	}
	return backfills, err
}

// Collect reads all pages of a stream, for a call that returned it and err.
func Collect[P, T any](stream grpc.ServerStreamingClient[P], err error, items func(*P) []T) ([]T, error) {
	if err != nil {
		return nil, err
	}
	var all []T
	for {
		page, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, items(page)...)
	}
}
