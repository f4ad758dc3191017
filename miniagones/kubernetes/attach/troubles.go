package attach

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/url"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	toolscache "k8s.io/client-go/tools/cache"
)

// troubles are those that a server which is attached has with its cluster: they are said as
// they come, once. It is safe for concurrent use.
type troubles struct {
	cluster    *Cluster
	log        *slog.Logger
	begin, end string // what they mean, and that they are over

	mu   sync.Mutex
	kind string
}

// say says what is wrong, if that is new.
func (t *troubles) say(err error) {
	kind := "out of reach"
	switch {
	case apierrors.IsUnauthorized(err):
		kind = "credentials"
	case apierrors.IsForbidden(err):
		kind = "rights"
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kind == kind {
		return
	}
	t.kind = kind
	t.log.Warn(t.begin, "error", t.cluster.explain(err))
}

// over is told of an answer.
func (t *troubles) over() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kind != "" {
		t.kind = ""
		t.log.Warn(t.end)
	}
}

// ofWatch is told what ends a watch.
func (t *troubles) ofWatch(ctx context.Context, r *toolscache.Reflector, err error) {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
		toolscache.DefaultWatchErrorHandler(ctx, r, err) // it is only made anew
		return
	}
	t.say(err)
}

// passing reports whether an error may be over at the next attempt.
func passing(err error) bool {
	var request *url.Error
	return errors.As(err, &request) || errors.Is(err, context.DeadlineExceeded) || apierrors.IsUnauthorized(err) ||
		apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) || apierrors.IsTooManyRequests(err) ||
		apierrors.IsInternalError(err) || apierrors.IsServiceUnavailable(err) || apierrors.IsUnexpectedServerError(err)
}
