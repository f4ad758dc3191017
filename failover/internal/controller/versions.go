package controller

import (
	"context"
	"sync"
	"time"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/internal/decide"
)

// versionsAge is how old versions may be until they are asked for again, and imageAge
// the image's while no VM is to be made of it.
const (
	versionsAge = 15 * time.Second
	imageAge    = 10 * time.Minute
)

// Versions says who knows Kubernetes's versions: that of the image, and that of the
// API server. Known is what they have said before.
type Versions struct {
	// Image with an error says what can be told of the image without its answer.
	Image     func(context.Context) (string, decide.Source, error)
	APIServer func(context.Context) (string, error)
	Known     decide.Versions
}

// Ask asks both. What is not answered is as it was known before. The error is that of
// the image.
func (v Versions) Ask(ctx context.Context) (decide.Versions, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	known := v.Known
	var failed error
	if v.Image != nil {
		image, source, err := v.Image(ctx)
		if err == nil || known.Image == "" {
			known.Image, known.Source = image, source
		}
		failed = err
	}
	if v.APIServer != nil {
		if server, err := v.APIServer(ctx); err == nil {
			known.APIServer = server
		}
	}
	return known, failed
}

// versions remembers the answers, and since when the image's is missing.
type versions struct {
	mu                sync.Mutex
	known             decide.Versions
	asked, imageAsked time.Time
	asking, failed    bool
}

// observeVersions tells the versions while it is still to be decided whether there is
// a VM, or one stands. It waits for no answer: what does not depend on the cloud must
// not wait for it, and a node's grace is longer than an answer takes.
func (r *Reconciler) observeVersions(ctx context.Context, s *decide.State) error {
	switch s.Failover.Status.Phase {
	case v1.Recovering, v1.Draining, v1.Completed:
		return nil
	}
	v := &r.versions
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.asked.IsZero() {
		v.known = r.opts.Versions.Known
	}
	now, age := r.opts.Clock.Now(), imageAge
	if vm := s.Failover.Status.VM; waits(s.Failover) || vm != nil && vm.GaveUp != "" {
		age = versionsAge
	}
	due := func(asked time.Time, age time.Duration) bool { return now.Sub(asked) >= age || now.Before(asked) }
	image := due(v.imageAsked, age)
	if !v.asking && (image || due(v.asked, versionsAge)) {
		v.asked, v.asking = now, true
		ask := r.opts.Versions
		ask.Known = v.known
		if image {
			v.imageAsked = now
		} else {
			ask.Image = nil
		}
		go func() {
			known, err := ask.Ask(context.WithoutCancel(ctx))
			v.mu.Lock()
			defer v.mu.Unlock()
			v.known, v.asking = known, false
			if failed := err != nil; image && failed != v.failed {
				v.failed = failed
				if failed {
					r.opts.Log.Warn("the image can't be asked for its version: what was known of it counts", "image", known.Image, "error", err)
				}
			}
		}()
	}
	s.Versions = v.known
	return nil
}
