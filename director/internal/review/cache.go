package review

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"time"
)

// How long an answer counts, and how many are kept. A pod that ends is heard for no longer
// than accepted; its game server is gone before that.
const (
	accepted   = time.Minute
	refused    = 2 * time.Second
	mostCached = 4096
	// atOnce bounds the reviews under way: who has no token costs the API server a call.
	atOnce = 16
)

// cached remembers answers, by the hash of the token.
type cached struct {
	Reviewer
	now   func() time.Time
	slots chan struct{}

	mu      sync.Mutex
	answers map[[sha256.Size]byte]answer
}

type answer struct {
	identity Identity
	err      error
	until    time.Time
}

// NewCached makes a Reviewer that remembers for a minute whose token it is, and for 2 s
// that it is nobody's.
func NewCached(r Reviewer) Reviewer { return newCached(r, time.Now) }

func newCached(r Reviewer, now func() time.Time) *cached {
	return &cached{Reviewer: r, now: now, slots: make(chan struct{}, atOnce), answers: make(map[[sha256.Size]byte]answer)}
}

// Review implements Reviewer.
func (c *cached) Review(ctx context.Context, token string) (Identity, error) {
	key := sha256.Sum256([]byte(token))
	if a, ok := c.known(key); ok {
		return a.identity, a.err
	}
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return Identity{}, ctx.Err()
	}
	if a, ok := c.known(key); ok { // while we waited
		return a.identity, a.err
	}
	of, err := c.Reviewer.Review(ctx, token)
	switch {
	case err == nil:
		c.store(key, answer{of, nil, c.now().Add(accepted)})
	case errors.Is(err, ErrRefused):
		c.store(key, answer{of, err, c.now().Add(refused)})
	}
	return of, err
}

func (c *cached) known(key [sha256.Size]byte) (answer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, ok := c.answers[key]
	return a, ok && a.until.After(c.now())
}

// store makes room by what is too old, and then by anything.
func (c *cached) store(key [sha256.Size]byte, a answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.answers) >= mostCached {
		for k, old := range c.answers {
			if !old.until.After(c.now()) {
				delete(c.answers, k)
			}
		}
		for k := range c.answers {
			if len(c.answers) < mostCached {
				break
			}
			delete(c.answers, k)
		}
	}
	c.answers[key] = a
}

// Cluster is a Reviewer of one of several clusters.
type Cluster struct {
	Name string
	Reviewer
}

// Clusters are the Reviewers of several clusters: a token is good in one of them.
type Clusters []Cluster

// Review implements Reviewer. A cluster that cannot be asked may know the token.
func (c Clusters) Review(ctx context.Context, token string) (Identity, error) {
	unknown := ErrRefused
	for _, of := range c {
		identity, err := of.Reviewer.Review(ctx, token)
		if err == nil {
			identity.Cluster = of.Name
			return identity, nil
		}
		if !errors.Is(err, ErrRefused) {
			unknown = err
		}
	}
	return Identity{}, unknown
}
