package matchmaker

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/pkg/rpc"
	"torikumi/proto/openmatch"
)

const (
	// maxDeletes bounds the tickets that wait for Open Match to come back. What
	// is beyond is dropped oldest first: it may be matched, and its server
	// waits for nobody until its no-show time-out.
	maxDeletes = 200_000
	// deleters work side by side.
	deleters = 4
)

// deletes takes tickets out of Open Match, however long that is out of reach.
type deletes struct {
	tickets openmatch.FrontendServiceClient
	logger  *slog.Logger
	metrics *Metrics

	mu    sync.Mutex
	queue []deletion
	// open counts what is not deleted yet, and calls that may yet add something.
	open    int
	dropped bool
	// more wakes the workers, less whoever waits for the end.
	more, less chan struct{}
}

// deletion is a ticket that is to be deleted, and what follows; nil for nothing.
type deletion struct {
	id   string
	then func()
}

func newDeletes(tickets openmatch.FrontendServiceClient, logger *slog.Logger, metrics *Metrics) *deletes {
	return &deletes{
		tickets: tickets, logger: logger, metrics: metrics,
		more: make(chan struct{}, deleters), less: make(chan struct{}, 1),
	}
}

// add never waits.
func (d *deletes) add(id string) { d.addThen(id, nil) }

// addThen is add with what follows once Open Match does not have the ticket any more.
func (d *deletes) addThen(id string, then func()) {
	d.mu.Lock()
	d.queue = append(d.queue, deletion{id, then})
	d.open++
	over := len(d.queue) > maxDeletes
	if over {
		d.queue = d.queue[1:]
		d.open--
	}
	first := over && !d.dropped
	d.dropped = over
	d.mu.Unlock()
	if first {
		d.logger.Error("too many tickets wait to be deleted from Open Match, the oldest are left there")
	}
	select {
	case d.more <- struct{}{}:
	default:
	}
}

// expect says that something may be added until the returned function is called,
// so that nobody takes an empty queue for the end.
func (d *deletes) expect() (over func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open++
	return d.done
}

// done takes note of a deletion, or of the end of a call that was expected.
func (d *deletes) done() {
	d.mu.Lock()
	d.open--
	d.mu.Unlock()
	select {
	case d.less <- struct{}{}:
	default:
	}
}

func (d *deletes) take() (deletion, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.queue) == 0 {
		return deletion{}, false
	}
	next := d.queue[0]
	d.queue = d.queue[1:]
	return next, true
}

// left counts what is not deleted yet, or may come yet.
func (d *deletes) left() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.open
}

// drained waits until nothing is left and no more comes, or ctx ends, and
// returns what is left.
func (d *deletes) drained(ctx context.Context) int {
	for d.left() > 0 {
		select {
		case <-d.less:
		case <-ctx.Done():
			return d.left()
		}
	}
	return 0
}

func (d *deletes) run(ctx context.Context) {
	var workers sync.WaitGroup
	for range deleters {
		workers.Go(func() { d.work(ctx) })
	}
	workers.Wait()
}

func (d *deletes) work(ctx context.Context) {
	backoff := rpc.Backoff{Min: 50 * time.Millisecond, Max: 2 * time.Second}
	for {
		next, ok := d.take()
		if !ok {
			select {
			case <-d.more:
				continue
			case <-ctx.Done():
				return
			}
		}
		for d.delete(ctx, next.id) != nil {
			if backoff.Wait(ctx) != nil {
				return // this one is left
			}
		}
		if next.then != nil {
			next.then()
		}
		backoff.Reset()
		d.done()
	}
}

func (d *deletes) delete(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := d.tickets.DeleteTicket(ctx, &openmatch.DeleteTicketRequest{TicketId: id})
	switch status.Code(err) {
	case codes.OK, codes.NotFound:
		return nil
	case codes.InvalidArgument, codes.PermissionDenied, codes.Unimplemented:
		// Asking again would not help.
		d.metrics.failed("delete", err)
		d.logger.ErrorContext(ctx, "ticket cannot be deleted from Open Match", "error", err)
		return nil
	}
	d.metrics.failed("delete", err)
	return err
}
