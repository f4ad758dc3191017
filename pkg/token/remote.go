package token

import (
	"cmp"
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"torikumi/pkg/rpc"
)

const (
	// DefaultRefresh is the time between two fetches of RemoteKeys; each wait is
	// up to a fifth shorter, so that gates spread out.
	DefaultRefresh = 5 * time.Minute
	// UnknownKeyInterval is the least time between two fetches that unknown key
	// ids cause: shorter learns a new key sooner and lets forged tokens put more
	// load on the issuer.
	UnknownKeyInterval = 10 * time.Second
	// maxStale is how long the last good set is used while no fetch succeeds:
	// longer bridges longer outages, and trusts a revoked key for longer if
	// someone keeps us from fetching.
	maxStale = 24 * time.Hour
)

// RemoteOptions say how [RemoteKeys] fetches.
type RemoteOptions struct {
	// URL is that of the key set. It must be https, or point to this machine,
	// unless AllowHTTP is set. Empty: the issuer says where it is.
	URL string
	// Issuer is the one that is asked for the URL (OpenID Connect Discovery). Required
	// without it, with the same rule.
	Issuer string
	// AllowHTTP takes keys over plain HTTP from elsewhere. Whoever can change
	// that traffic can make tokens, so the network has to be safe by itself.
	AllowHTTP bool
	// Algorithms are those that keys are wanted for. Required.
	Algorithms []Algorithm
	// NoKeyIDs takes keys without an id too, for tokens that name none.
	NoKeyIDs bool
	// HTTPClient fetches; nil means one of its own. Redirects are never
	// followed.
	HTTPClient *http.Client
	// RefreshEvery is the time between two fetches, and AskAgain the least time between
	// two that unknown key ids cause. Zero means DefaultRefresh and UnknownKeyInterval.
	RefreshEvery, AskAgain time.Duration
	// FetchTimeout bounds one fetch. Zero means 5 s.
	FetchTimeout time.Duration
	// Now is the clock that ages are measured with; nil means time.Now.
	Now func() time.Time
	// Logger hears when keys change and when fetching begins to fail and to
	// succeed; nil means slog.Default.
	Logger *slog.Logger
}

// RemoteKeys are the public keys that an issuer publishes as a JWK Set. It keeps
// the last good set: an outage of the issuer refuses no token with a known key.
// It is safe for concurrent use.
type RemoteKeys struct {
	opts   RemoteOptions
	client *http.Client
	health *rpc.Health

	mu   sync.Mutex
	set  map[string]crypto.PublicKey // nil until the first success; never changed
	etag string
	// discovered is where the issuer said that its keys are.
	discovered string
	fetchedAt  time.Time // of the last success
	err        error     // of the last fetch
	unknownAt  time.Time // of the last fetch for an unknown key id
	asked      bool      // whether unknownAt is set
	flight     *flight   // nil while no fetch is under way
}

// flight is a fetch that any number of callers wait for.
type flight struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when err is set
	err    error
}

// RemoteStatus is what is known about an issuer's keys.
type RemoteStatus struct {
	// KeyIDs are the ids of the keys in use, sorted; none if there are no keys
	// or they are too old.
	KeyIDs []string
	// Err is the error of the last fetch, nil if it succeeded or none has ended.
	Err error
}

// NewRemoteKeys returns an error that names the option that is wrong. It fetches
// nothing: [RemoteKeys.Run] does, and the first use of a key.
func NewRemoteKeys(opts RemoteOptions) (*RemoteKeys, error) {
	if opts.URL == "" && opts.Issuer != "" {
		if err := validateURL(opts.Issuer, opts.AllowHTTP); err != nil {
			return nil, fmt.Errorf("issuer, which has to say where its keys are: %w", err)
		}
	} else if err := validateURL(opts.URL, opts.AllowHTTP); err != nil {
		return nil, err
	}
	if err := ValidateAlgorithms(opts.Algorithms); err != nil {
		return nil, err
	}
	opts.Algorithms = slices.Clone(opts.Algorithms)
	opts.FetchTimeout = cmp.Or(opts.FetchTimeout, 5*time.Second)
	opts.RefreshEvery, opts.AskAgain = cmp.Or(opts.RefreshEvery, DefaultRefresh), cmp.Or(opts.AskAgain, UnknownKeyInterval)
	if opts.Now == nil {
		opts.Now = time.Now
	}
	opts.Logger = cmp.Or(opts.Logger, slog.Default()).With("url", cmp.Or(opts.URL, opts.Issuer))
	health := rpc.NewHealth(opts.Logger, "verification keys cannot be fetched", "verification keys can be fetched again")
	return &RemoteKeys{opts: opts, client: newClient(&opts), health: health}, nil
}

// ValidateAlgorithms returns an error unless there are algorithms and all are known,
// those of other issuers among them.
func ValidateAlgorithms(algorithms []Algorithm) error {
	if len(algorithms) == 0 {
		return errors.New("algorithms: must name at least one")
	}
	for _, a := range algorithms {
		if a != RS256 && a != ES256 && a != EdDSA {
			return fmt.Errorf("algorithm %q: must be %s, %s or %s", string(a), RS256, ES256, EdDSA)
		}
	}
	return nil
}

// ErrPlainHTTP is of keys that would come from another machine over plain HTTP, which
// RemoteOptions.AllowHTTP takes.
var ErrPlainHTTP = errors.New("must be https, or http on this machine")

func validateURL(raw string, allowHTTP bool) error {
	u, err := url.Parse(raw)
	if err != nil {
		return fmt.Errorf("key set URL: %w", err)
	}
	if u.Host == "" || u.User != nil || (u.Scheme != "https" && u.Scheme != "http") {
		return fmt.Errorf("key set URL %q: must be an absolute http or https URL without user", u.Redacted())
	}
	if u.Scheme == "http" && !allowHTTP && !loopback(u.Hostname()) {
		return fmt.Errorf("key set URL %q: %w", raw, ErrPlainHTTP)
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// Key implements [KeySource]. An id that is not known causes a fetch, unless an
// unknown id has just caused one; the call waits for it as long as ctx lets it.
func (r *RemoteKeys) Key(ctx context.Context, kid string) (crypto.PublicKey, error) {
	for {
		r.mu.Lock()
		if key, ok := r.current()[kid]; ok {
			r.mu.Unlock()
			return key, nil
		}
		now := r.opts.Now()
		f := r.flight
		joined := f != nil
		if f == nil && (!r.asked || now.Sub(r.unknownAt).Abs() >= r.opts.AskAgain) {
			r.asked, r.unknownAt = true, now
			f = r.launch()
		}
		r.mu.Unlock()
		if f == nil {
			key, err := r.known(kid)
			if errors.Is(err, ErrUnknownKey) {
				err = ErrKeyNotAsked
			}
			return key, err
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrKeysUnavailable, ctx.Err())
		}
		// A fetch that was under way may have been answered before the key was
		// published.
		if !joined || f.err != nil {
			return r.known(kid)
		}
	}
}

// Keys implements [KeyLister].
func (r *RemoteKeys) Keys(ctx context.Context, again bool) ([]crypto.PublicKey, error) {
	r.mu.Lock()
	set := r.current()
	r.mu.Unlock()
	if again || set == nil {
		// No key has this id: it is asked for whatever is new.
		if _, err := r.Key(ctx, ""); !errors.Is(err, ErrUnknownKey) || again && errors.Is(err, ErrKeyNotAsked) {
			return nil, err
		}
		r.mu.Lock()
		set = r.current()
		r.mu.Unlock()
	}
	return slices.Collect(maps.Values(set)), nil
}

// known returns a key of the set as it is.
func (r *RemoteKeys) known(kid string) (crypto.PublicKey, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	set := r.current()
	if key, ok := set[kid]; ok {
		return key, nil
	}
	switch {
	case r.err != nil:
		// The issuer may well have this key: it could not be asked.
		return nil, fmt.Errorf("%w: %w", ErrKeysUnavailable, r.err)
	case set == nil:
		return nil, ErrKeysUnavailable
	}
	return nil, ErrUnknownKey
}

// current returns the keys in use, nil if there are none; mu is held.
func (r *RemoteKeys) current() map[string]crypto.PublicKey {
	if r.set == nil || r.opts.Now().Sub(r.fetchedAt) > maxStale {
		return nil
	}
	return r.set
}

// Status returns what is known now, for health checks and metrics.
func (r *RemoteKeys) Status() RemoteStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	return RemoteStatus{KeyIDs: slices.Sorted(maps.Keys(r.current())), Err: r.err}
}

// Refresh fetches the keys now, or waits for a fetch that is under way. After an
// error the last good keys stay in use.
func (r *RemoteKeys) Refresh(ctx context.Context) error {
	r.mu.Lock()
	f := r.flight
	if f == nil {
		f = r.launch()
	}
	r.mu.Unlock()
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Run fetches the keys at once and then again and again, until ctx ends; then it
// returns nil, with no fetch of its own left behind. After a failure it tries
// again soon, with growing waits.
func (r *RemoteKeys) Run(ctx context.Context) error {
	defer r.land()
	backoff := rpc.Backoff{Min: 250 * time.Millisecond, Max: 10 * time.Second}
	for {
		wait := r.opts.RefreshEvery - rand.N(r.opts.RefreshEvery/5+1)
		if r.Refresh(ctx) != nil {
			wait = backoff.Next()
		} else {
			backoff.Reset()
		}
		if rpc.Sleep(ctx, wait) != nil {
			return nil
		}
	}
}

// land ends the fetch that is under way, if there is one.
func (r *RemoteKeys) land() {
	r.mu.Lock()
	f := r.flight
	r.mu.Unlock()
	if f != nil {
		f.cancel()
		<-f.done
	}
}

// launch starts a fetch; mu is held. It does not depend on the caller's context,
// because others may wait for it too; the fetch timeout ends it.
func (r *RemoteKeys) launch() *flight {
	ctx, cancel := context.WithTimeout(context.Background(), r.opts.FetchTimeout)
	f := &flight{cancel: cancel, done: make(chan struct{})}
	r.flight = f
	etag := r.etag
	go func() {
		defer cancel()
		keys, etag, err := r.fetch(ctx, etag)
		f.err = r.finish(keys, etag, err)
		close(f.done)
	}()
	return f
}

// finish records how a fetch has ended and logs changes of state. Without keys
// the set is unchanged.
func (r *RemoteKeys) finish(keys map[string]crypto.PublicKey, etag string, err error) error {
	r.mu.Lock()
	var changed []string
	if err == nil {
		r.fetchedAt = r.opts.Now()
		if keys != nil {
			if ids := slices.Sorted(maps.Keys(keys)); !slices.Equal(ids, slices.Sorted(maps.Keys(r.set))) {
				changed = ids
			}
			r.set, r.etag = keys, etag
		}
	}
	r.err = err
	r.flight = nil
	r.mu.Unlock()

	// Whoever asked is gone if it was canceled; that says nothing about the keys.
	if !errors.Is(err, context.Canceled) {
		r.health.Record(err)
	}
	if changed != nil {
		r.opts.Logger.Info("verification keys changed", "now", changed)
	}
	return err
}
