package signing

import (
	"cmp"
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"torikumi/pkg/rpc"
	"torikumi/pkg/token"
)

// DefaultPublishBefore outlasts, one after the other, the time that a mounted
// Secret takes to reach all nodes, the cache time of the key set and a verifier's
// refresh interval.
const DefaultPublishBefore = 15 * time.Minute

// KeyOptions say how [LoadKeys] reads a directory.
type KeyOptions struct {
	// Algorithm is what the keys are for; a key of another kind is an error.
	Algorithm token.Algorithm
	// PublishBefore is how long a key is shown before it signs, so that every
	// verifier has it by then. Longer makes rotation slower and safer. Zero
	// means DefaultPublishBefore. It does not hold up the only key.
	PublishBefore time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger hears from Watch what has changed; nil means slog.Default.
	Logger *slog.Logger
}

// Keys are the private keys of a directory. All keys verify and are published;
// one signs: the newest one that has been published long enough, or else the
// oldest. A key is as old as the time in its file's name says (in the form
// 20060102T150405Z, UTC), or else the file's modification time; of two equally
// old ones the one with the greater id counts as newer. So every process that
// reads the directory comes to the same choice. Keys is safe for concurrent use.
type Keys struct {
	dir    string
	opts   KeyOptions
	reload sync.Mutex // held while the directory is read
	set    atomic.Pointer[keySet]
	err    atomic.Pointer[error]
}

// keySet is never changed once it is made.
type keySet struct {
	ordered []signingKey // oldest first
	jwks    []byte
	etag    string
}

// LoadKeys reads all files *.pem of dir; each holds one private key in PEM
// (PKCS #8, PKCS #1 or SEC 1), RSA of 2048 bits or more for RS256, P-256 for
// ES256. Files and directories whose name begins with a dot are skipped. It is
// an error if there is no key, or if any of the files cannot be used.
func LoadKeys(dir string, opts KeyOptions) (*Keys, error) {
	if err := opts.Algorithm.Validate(); err != nil {
		return nil, err
	}
	if opts.PublishBefore < 0 {
		return nil, errors.New("publish before: must not be negative")
	}
	opts.PublishBefore = cmp.Or(opts.PublishBefore, DefaultPublishBefore)
	opts.Logger = cmp.Or(opts.Logger, slog.Default())
	if opts.Now == nil {
		opts.Now = time.Now
	}
	k := &Keys{dir: dir, opts: opts}
	if err := k.Reload(); err != nil {
		return nil, err
	}
	return k, nil
}

// Reload reads the directory again. After an error the keys of the last good
// reading stay in use, and Err returns the error.
func (k *Keys) Reload() error {
	k.reload.Lock()
	defer k.reload.Unlock()
	ordered, err := readKeys(k.dir, k.opts.Algorithm)
	if err == nil {
		var set *keySet
		if set, err = newKeySet(k.seen(ordered), k.opts.Algorithm); err == nil {
			k.set.Store(set)
		}
	}
	k.err.Store(&err)
	return err
}

// Err returns the error of the last reading of the directory, nil if it went
// well.
func (k *Keys) Err() error { return *k.err.Load() }

// seen sets since when the keys have been published: one that has come into a
// running process was not published before, whatever its file says.
func (k *Keys) seen(ordered []signingKey) []signingKey {
	old := k.set.Load()
	if old == nil {
		return ordered
	}
	now := k.opts.Now()
	for i := range ordered {
		key := &ordered[i]
		at := slices.IndexFunc(old.ordered, func(o signingKey) bool { return o.kid == key.kid })
		if at >= 0 {
			key.published = old.ordered[at].published
		} else if key.published.Before(now) {
			key.published = now
		}
	}
	return ordered
}

// signing returns the key that signs now: the newest that has been published for
// long enough, or else the oldest one, the most likely to be known.
func (k *Keys) signing() signingKey {
	ordered, since := k.set.Load().ordered, k.opts.Now().Add(-k.opts.PublishBefore)
	for _, key := range slices.Backward(ordered) {
		if !key.published.After(since) {
			return key
		}
	}
	return ordered[0]
}

// sign returns the compact form of a token with exactly the header members alg,
// typ and kid.
func (k *Keys) sign(claims jwt.MapClaims) (string, error) {
	key := k.signing()
	t := jwt.NewWithClaims(k.opts.Algorithm.Method(), claims)
	t.Header["kid"] = key.kid
	return t.SignedString(key.private)
}

// SigningKeyID returns the id of the key that signs now.
func (k *Keys) SigningKeyID() string { return k.signing().kid }

// KeyIDs returns the ids of all keys, oldest first.
func (k *Keys) KeyIDs() []string {
	var ids []string
	for _, key := range k.set.Load().ordered {
		ids = append(ids, key.kid)
	}
	return ids
}

// Key implements [token.KeySource] for tokens that were signed with these very keys.
func (k *Keys) Key(_ context.Context, kid string) (crypto.PublicKey, error) {
	for _, key := range k.set.Load().ordered {
		if key.kid == kid {
			return key.private.Public(), nil
		}
	}
	return nil, token.ErrUnknownKey
}

// Watch reloads the keys at every interval until ctx ends, and then returns nil.
// It logs what has changed, and a broken directory once.
func (k *Keys) Watch(ctx context.Context, interval time.Duration) error {
	if interval <= 0 {
		return fmt.Errorf("watch interval %v: must be positive", interval)
	}
	ids, signing, failed := k.KeyIDs(), k.SigningKeyID(), ""
	for range rpc.Ticks(ctx, interval) {
		if err := k.Reload(); err != nil {
			if err.Error() != failed {
				k.opts.Logger.ErrorContext(ctx, "signing keys not reloaded, the last good ones stay in use", "error", err)
			}
			failed = err.Error()
		} else if failed != "" {
			k.opts.Logger.InfoContext(ctx, "signing keys can be read again")
			failed = ""
		}
		if now := k.KeyIDs(); !slices.Equal(now, ids) {
			k.opts.Logger.InfoContext(ctx, "published keys changed", "before", ids, "now", now)
			ids = now
		}
		if now := k.SigningKeyID(); now != signing {
			k.opts.Logger.InfoContext(ctx, "signing key changed", "before", signing, "now", now)
			signing = now
		}
	}
	return nil
}

// newKeySet publishes the keys in the order of their ids, so that all replicas
// answer with the same bytes.
func newKeySet(ordered []signingKey, alg token.Algorithm) (*keySet, error) {
	var public jose.JSONWebKeySet
	byID := func(a, b signingKey) int { return cmp.Compare(a.kid, b.kid) }
	for _, key := range slices.SortedFunc(slices.Values(ordered), byID) {
		public.Keys = append(public.Keys, jose.JSONWebKey{Key: key.private.Public(), KeyID: key.kid, Algorithm: string(alg), Use: "sig"})
	}
	data, err := json.Marshal(public)
	if err != nil {
		return nil, fmt.Errorf("marshal key set: %w", err)
	}
	sum := sha256.Sum256(data)
	return &keySet{ordered: ordered, jwks: data, etag: `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`}, nil
}
