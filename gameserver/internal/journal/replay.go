package journal

import (
	"errors"
	"sync"
	"time"

	"torikumi/pkg/token"
)

// leastSweep is how many uses there are at least between two sweeps of what has
// expired; with more in memory it is as many as those.
const leastSweep = 256

// Replay remembers which tokens have been used, so that each works once. The
// record outlives the process in a journal. It is safe for concurrent use; a
// journal belongs to one Replay at a time.
//
// A token is remembered until token.MaxLeeway after its expiry, that is, for as long as
// any [token.Verifier] could accept it.
type Replay struct {
	now func() time.Time

	mu      sync.Mutex
	state   journalState
	journal *journal // nil: memory only
	closed  bool
	sweep   int // uses until the next sweep
}

// OpenReplay reads the journal at path, or begins one; its directory must exist
// and should live as long as the pod. With an empty path the record is in memory
// only. A nil now means time.Now.
//
// If there is no journal, or a damaged one, earlier uses may be lost, so that from
// then on tokens that were issued before this moment are refused
// (issued_before_start), after later restarts too. "iat" is cut to whole seconds:
// a token of the very second of the start counts as older, since it may be. This
// would also hit the first players of a server that has just been born; its gate
// knows better and calls [Replay.MarkFresh].
func OpenReplay(path string, now func() time.Time) (*Replay, error) {
	if now == nil {
		now = time.Now
	}
	r := &Replay{now: now, sweep: leastSweep}
	if path == "" {
		r.state = journalState{start: now(), used: map[string]int64{}}
		return r, nil
	}
	lock, err := lockJournal(path)
	if err != nil {
		return nil, err
	}
	r.journal = &journal{path: path, lock: lock}
	var whole bool
	if r.state, whole, err = readJournal(path); err == nil {
		if !whole {
			r.state.start = now()
		}
		r.forgetExpired()
		err = r.journal.rewrite(&r.state)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return r, nil
}

// MarkFresh says that no token that will be accepted from now on can have been
// used before: the gate has seen, after OpenReplay, that its game server has no
// match yet, or a new one, and a token opens the server for its own match only.
// The rule about tokens issued before the start ends, durably.
func (r *Replay) MarkFresh() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return errClosed
	}
	if r.state.start.IsZero() {
		return nil
	}
	start := r.state.start
	r.state.start = time.Time{}
	if r.journal != nil {
		if err := r.journal.rewrite(&r.state); err != nil {
			r.state.start = start
			return err
		}
	}
	return nil
}

var errClosed = errors.New("replay is closed")

// Use spends the token id. It returns nil for exactly one of all calls with the
// same id, and only once the use is on disk; any other answer is a [*token.Refusal]. exp
// and iat are those of the token.
func (r *Replay) Use(id string, exp, iat time.Time) error {
	if !validUsedID(id) {
		return token.Refuse(token.ReasonBadClaim, "jti is not the id of a token")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return &token.Refusal{Reason: token.ReasonJournalUnavailable, Detail: "shutting down", Cause: errClosed}
	}
	if r.forgotten(exp.Unix()) {
		return token.Refuse(token.ReasonExpired, "exp has passed too long ago")
	}
	if _, ok := r.state.used[id]; ok {
		return token.Refuse(token.ReasonReplayed, "jti has been used")
	}
	if iat.Before(r.state.start) {
		return token.Refuse(token.ReasonIssuedBeforeStart, "iat lies before the start of the record of used tokens")
	}
	if err := r.record(id, exp.Unix()); err != nil {
		return &token.Refusal{Reason: token.ReasonJournalUnavailable, Detail: "the use could not be recorded", Cause: err}
	}
	return nil
}

// record writes a use to the journal and then remembers it; mu is held.
func (r *Replay) record(id string, exp int64) error {
	if r.sweep--; r.sweep <= 0 {
		r.forgetExpired()
		r.sweep = max(leastSweep, len(r.state.used))
		if r.journal != nil {
			r.journal.close() // to be rewritten without what has expired
		}
	}
	if r.journal != nil {
		if r.journal.file == nil {
			if err := r.journal.rewrite(&r.state); err != nil {
				return err
			}
		}
		if err := r.journal.add(id, exp); err != nil {
			return err
		}
	}
	r.state.used[id] = exp
	return nil
}

// forgotten reports whether a token with this expiry is out of every verifier's
// reach, and so need not be remembered.
func (r *Replay) forgotten(exp int64) bool {
	return !r.now().Before(time.Unix(exp, 0).Add(token.MaxLeeway))
}

func (r *Replay) forgetExpired() {
	for id, exp := range r.state.used {
		if r.forgotten(exp) {
			delete(r.state.used, id)
		}
	}
}

// Close ends the use of the journal, for another Replay to open. Later uses are
// refused. The second and later calls do nothing.
func (r *Replay) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	if r.journal == nil {
		return nil
	}
	r.journal.close()
	return r.journal.lock.Close()
}
