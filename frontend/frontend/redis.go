package frontend

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"os"
	"time"

	"torikumi/frontend/internal/ratelimit"
	"torikumi/frontend/internal/ticket"
	"torikumi/frontend/internal/ticket/redisstore"
	"torikumi/pkg/claims"
)

// openStore opens Redis, or the memory of this frontend alone.
func (p *parts) openStore() (ticket.Store, error) {
	limits := ticket.Limits{
		Timeout: p.cfg.TicketTimeout, Queues: func() map[string]time.Duration { return p.queues.Current().SearchLimits() }, Gathering: p.cfg.PartyTimeout, Gone: p.cfg.GoneAfter, Assigned: p.cfg.Retention, Ended: p.cfg.EndedRetention, Tickets: p.cfg.MaxTickets,
	}
	if p.cfg.Redis == "" {
		return ticket.NewMemory(limits), nil
	}
	client, err := p.cfg.RedisClient()
	if err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		host = name
	}
	store := redisstore.Open(redisstore.Options{
		Client: client, Prefix: p.cfg.RedisPrefix, Name: host + "-" + rand.Text()[:8], Limits: limits, Logger: p.logger,
	})
	p.storeReached = store.Reached
	p.counts = ratelimit.NewShared(client, p.logger, nil)
	p.counts.Patience = cmp.Or(p.cfg.patience, p.counts.Patience)
	p.claims = claims.New(client, p.cfg.RedisPrefix)
	p.closers = append(p.closers, func() {
		store.Stop()
		_ = client.Close() // nothing is under way any more
	})
	return store, nil
}

// storeReady reports an error until Redis has answered once: a frontend that is told
// of a wrong one never takes the place of one that works. A Redis that goes away
// later makes no frontend unready, since all would go at once.
func (p *parts) storeReady(context.Context) error {
	if p.storeReached != nil && !p.storeReached() {
		return errors.New("Redis has not been reached yet")
	}
	return nil
}
