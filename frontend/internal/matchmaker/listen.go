package matchmaker

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"torikumi/pkg/rpc"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// listen hears the announcements of one director, and subscribes again whenever
// the stream ends.
func (c *Client) listen(ctx context.Context, conn *grpc.ClientConn) {
	health := rpc.NewHealth(c.logger.With("director", conn.Target()), "no announcements from the director", "")
	backoff := rpc.Backoff{Min: 50 * time.Millisecond, Max: 2 * time.Second}
	for {
		subscribed, err := c.subscribe(ctx, conn)
		if ctx.Err() != nil {
			return
		}
		if subscribed {
			backoff.Reset()
			health.Up()
		}
		health.Down(err)
		if backoff.Wait(ctx) != nil {
			return
		}
	}
}

// subscribe returns when the stream has ended, and whether it ever stood.
func (c *Client) subscribe(ctx context.Context, conn *grpc.ClientConn) (subscribed bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := torikumiv1.NewAnnouncementServiceClient(conn).Subscribe(ctx, &torikumiv1.SubscribeRequest{Subscriber: c.options.Name})
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
	c.logger.InfoContext(ctx, "subscribed to the director's announcements", "director", conn.Target())
	c.metrics.directors.Inc()
	defer c.metrics.directors.Dec()
	// What happened before is not repeated.
	c.reconcileSoon()
	for {
		a, err := stream.Recv()
		if err != nil {
			return true, err
		}
		if a.GetConnection() != "" {
			for _, id := range a.GetTicketIds() {
				c.assign(ctx, id, a.GetConnection(), a.GetDetails())
			}
		}
		c.metrics.announcements.Inc() // last: who has seen it finds it done
	}
}
