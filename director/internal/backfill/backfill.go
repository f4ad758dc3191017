// Package backfill fills running matches up: it searches for players through a backfill
// of Open Match, writes who was found into the roster of the match's game server, and has
// Open Match assign them. A gate asks for it, again and again, and a match function that
// finds somebody sets it off.
//
// A step keeps nothing in memory: it reads the game server and the backfill, and does
// what is left to do. So any director takes the next one, whatever the last one has died
// of. The roster is changed only as it was read, and before anybody is assigned.
package backfill

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"torikumi/director/internal/review"
	"torikumi/director/internal/servers"
	"torikumi/pkg/claims"
	"torikumi/pkg/queues"
	"torikumi/pkg/rpc"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

const (
	// next is how long a gate waits before it calls again.
	next = 2 * time.Second
	// callTimeout bounds one call, and undoTimeout what is undone after a failure.
	callTimeout, undoTimeout = 5 * time.Second, 5 * time.Second
	// tries is how often a step begins anew because the game server has changed.
	tries = 3
)

// Claims keep directors from assigning the same tickets: see [claims.Store].
type Claims interface {
	Acquire(ctx context.Context, m claims.Match) error
	Confirm(ctx context.Context, token, connection string, d *torikumiv1.AssignmentDetails) error
	MarkAssigned(ctx context.Context, token string) error
	Drop(ctx context.Context, token string, tickets []string) error
}

// Options are what a Filler needs.
type Options struct {
	Frontend    openmatch.FrontendServiceClient
	Backend     openmatch.BackendServiceClient
	GameServers servers.GameServers
	// Addresses say which address of a server players get.
	Addresses servers.Addresses
	Queues    queues.Source
	Reviewer  review.Reviewer
	// Claims is nil if this is the only director.
	Claims Claims
	// PendingRelease is Open Match's pendingReleaseTimeout.
	PendingRelease time.Duration
	Publish        func(*torikumiv1.Announcement)
	Registry       prometheus.Registerer
	Logger         *slog.Logger
}

// Filler fills matches up, and serves torikumi.v1.BackfillService. It is safe for
// concurrent use.
type Filler struct {
	torikumiv1.UnimplementedBackfillServiceServer

	o       Options
	metrics metrics
	// health is that of Open Match and what lists game servers, claims that of Redis.
	health, claims *rpc.Health
}

// New makes a Filler and registers its metrics.
func New(o Options) *Filler {
	return &Filler{
		o: o, metrics: newMetrics(o.Registry),
		health: rpc.NewHealth(o.Logger, "filling matches up fails", "filling matches up works again"),
		claims: rpc.NewHealth(o.Logger, "claims of tickets that join lost", "claims of tickets that join recovered"),
	}
}
