// Package redisstore keeps the tickets of any number of frontends in Redis.
//
// A ticket is one hash, and other keys lead to it. Each begins with the prefix in braces, a
// hash tag: one slot has them all, with those of package claims. A member (*) is 16 hex
// digits, by which tickets of the same time keep their order, and the id. Only the keys of
// which it is said expire in Redis; scripts delete the others.
//
//	t:ID                 hash: the ticket; see hashFields
//	gathering            sorted set (*): tickets in this state, by when they were created
//	open                 sorted set (*): those that search, by when they began to
//	waiting:QUEUE        sorted set (*): those of open in this queue
//	assigned             sorted set (*): by when they were assigned, or last kept
//	ended                sorted set (*): by when they were cancelled or expired
//	creating             sorted set of ids: by when Open Match was asked for their tickets
//	accepting            sorted set of ids: by when Lapse or Recall is due
//	seen                 sorted set of ids that have not ended: by when somebody asked for them
//	om:OPEN_MATCH_ID     string: the id of the ticket that has this one in Open Match
//	early:OPEN_MATCH_ID  hash: an assignment before its Attach; expires after earlyAge
//	code:CODE            string: the id of the ticket whose party has this code
//	request:KEY          string: the id of the ticket that this request has made
//	seats:PLAYER         hash: the ids of the player's tickets that have not ended, by Seat
//	played:PLAYER        string: the id of the last one that was assigned; expires after playedFor
//	waits:QUEUE          list: the last MostWaits waits; expires WaitsAge after the last
//	sequence             string: how many tickets were made
//	frontends            sorted set of names: by when each last said that it is alive
//	changed              a channel: the id of each ticket of which players see a change
//
// What an event does to a ticket is decided here by [ticket.Ticket.Apply] alone: a
// change is read, decided, and written by a script if the ticket still has the
// version that was read.
//
// What Redis has confirmed is as durable as Redis is set up to be: nothing is
// lost with appendfsync always. After a failover to a replica that had not caught
// up, tickets may be missing or be in an earlier state. Players are told that
// there is no such ticket and ask again; an assignment that is missing is read from
// Open Match; an Open Match ticket of nobody is matched at most once, and the gate's
// no-show time-out ends that server.
package redisstore

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/redis/go-redis/v9"

	"torikumi/frontend/internal/ticket"
	"torikumi/pkg/rpc"
)

const (
	// earlyAge is longer than Open Match can take to create a ticket.
	earlyAge = 10 * time.Second
	// orphanAge is how long a ticket may wait for Open Match to create its own: then
	// its frontend has died.
	orphanAge = 30 * time.Second
	// beat is how often a frontend says that it is alive, and dead the age of the last
	// such word from which on others look after its tickets.
	beat = 2 * time.Second
	dead = 10 * time.Second
	// firstTries is the pause between tries to reach Redis for the first time.
	firstTries = 200 * time.Millisecond
	// playedLonger is how much longer than the ticket Redis itself remembers by which one a
	// player has got their last match: whoever forgets the ticket forgets that too, and
	// Redis does if nobody comes to it for so long.
	playedLonger = 24 * time.Hour
	// batch is how many tickets one script or pipeline touches at most.
	batch = 500
	// passedOverEvery is how often the log says that a ticket cannot be read.
	passedOverEvery = time.Minute
)

// Options are what a [Store] needs; all are required.
type Options struct {
	// Client is a connection to Redis; the caller closes it after the store. Calls
	// that it makes again must be few, as each method makes its own.
	Client redis.UniversalClient
	// Prefix begins all keys: frontends that share it share their tickets.
	Prefix string
	// Name is this frontend's among them.
	Name   string
	Limits ticket.Limits
	Logger *slog.Logger
}

// Store is a [ticket.Store]. Besides the errors of the interface its methods return
// ticket.ErrUnavailable when Redis cannot be reached.
type Store struct {
	client redis.UniversalClient
	prefix string
	name   string
	limits ticket.Limits
	logger *slog.Logger

	stop    context.CancelFunc
	work    sync.WaitGroup
	closing chan struct{}

	reached  atomic.Bool
	mu       sync.Mutex
	closed   bool
	watchers map[string]chan struct{}
	// fresh are tickets that were created here and not changed since, by id.
	fresh sync.Map
	alive []string
	// away is when Redis was last out of reach, or this frontend began: who asks for
	// which ticket was not noted before that.
	away time.Time
	// passedOver is when the log last said that a ticket cannot be read.
	passedOver time.Time
}

var _ ticket.Store = (*Store)(nil)

// Open makes a store, which need not reach Redis yet. Stop has to be called.
func Open(o Options) *Store {
	if o.Limits.Now == nil {
		o.Limits.Now = time.Now
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Store{
		client: o.Client, prefix: "{" + o.Prefix + "}:", name: o.Name, limits: o.Limits, logger: o.Logger,
		stop: cancel, closing: make(chan struct{}), watchers: make(map[string]chan struct{}), away: o.Limits.Now(),
	}
	s.work.Go(func() { s.listen(ctx) })
	s.work.Go(func() { s.live(ctx) })
	return s
}

// Stop ends the work beside the calls. The store is not used after it.
func (s *Store) Stop() {
	s.stop()
	s.work.Wait()
}

// Reached reports whether Redis has ever answered.
func (s *Store) Reached() bool { return s.reached.Load() }

// Create implements [ticket.Store].
func (s *Store) Create(ctx context.Context, t ticket.Ticket) (ticket.Ticket, error) {
	if s.isClosed() {
		return ticket.Ticket{}, ticket.ErrClosed
	}
	now := s.limits.Now()
	t.State, t.Created = ticket.None, now
	kind := ticket.Create
	if t.Party != nil {
		kind = ticket.Gather
	}
	made := t.Apply(ticket.Event{Kind: kind}, now).Ticket
	static, err := encode(&made)
	if err != nil {
		return ticket.Ticket{}, err
	}
	party, err := encodeParty(made.Party)
	if err != nil {
		return ticket.Ticket{}, err
	}
	watched := "0"
	if s.limits.Gone > 0 {
		watched = "1"
	}
	var request ticket.Request
	if t.Request != nil {
		request = *t.Request
	}
	args := append([]any{
		made.ID, int(made.State), static, now.UnixNano(), now.UnixMicro(), s.limits.Tickets, code(&made), party, watched,
		request.Key, cmp.Or(request.Written, request.Digest), request.Digest, made.Group, made.Queue,
	}, holders(&made)...)
	answer, err := s.run(ctx, createScript, args...)
	if err != nil {
		return ticket.Ticket{}, err
	}
	switch {
	case answer[0] == "created":
		if made.State == ticket.Creating {
			s.fresh.Store(made.ID, made)
		}
		return made, nil
	case answer[0] == "full":
		return ticket.Ticket{}, ticket.ErrFull
	case answer[0] == "repeated" && len(answer) == 3:
		return ticket.Ticket{}, &ticket.RepeatedError{ID: answer[1], Same: answer[2] == "1"}
	case answer[0] == "conflict" && len(answer) == 3:
		i, err := strconv.Atoi(answer[1])
		if err != nil || i < 0 || i >= len(made.Players) {
			return ticket.Ticket{}, fmt.Errorf("create: Redis answered %q", answer)
		}
		return ticket.Ticket{}, &ticket.ConflictError{Player: made.Players[i].GetId(), Queue: made.Queue, ID: answer[2]}
	}
	return ticket.Ticket{}, fmt.Errorf("create: Redis answered %q", answer)
}

// Get implements [ticket.Store].
func (s *Store) Get(ctx context.Context, id string) (ticket.Ticket, error) {
	t, _, err := s.read(ctx, id)
	return t, err
}

// Find implements [ticket.Store].
func (s *Store) Find(ctx context.Context, code string) (ticket.Ticket, error) {
	id, err := s.client.Get(ctx, s.prefix+"code:"+code).Result()
	if errors.Is(err, redis.Nil) {
		return ticket.Ticket{}, ticket.ErrNotFound
	}
	if err != nil {
		return ticket.Ticket{}, unavailable(err)
	}
	t, err := s.Get(ctx, id)
	if err == nil && t.Ended() { // meanwhile
		return ticket.Ticket{}, ticket.ErrNotFound
	}
	return t, err
}

// Of implements [ticket.Store].
func (s *Store) Of(ctx context.Context, player string) ([]ticket.Ticket, error) {
	pipe := s.client.Pipeline()
	seats := pipe.HVals(ctx, s.prefix+"seats:"+player)
	// After the others: who is assigned between the two is in both.
	played := pipe.Get(ctx, s.prefix+"played:"+player)
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, unavailable(err)
	}
	ids := seats.Val()
	if played.Val() != "" {
		ids = append(ids, played.Val())
	}
	all, unreadable, err := s.readAll(ctx, ids)
	if err := errors.Join(unreadable, err); err != nil {
		return nil, err
	}
	var found []ticket.Ticket
	var last *ticket.Ticket // that was assigned
	for _, t := range all {
		switch {
		case !t.Has(player): // any more
		case t.State == ticket.Assigned: // maybe meanwhile
			if last == nil || t.Updated.After(last.Updated) {
				last = &t
			}
		case !t.Ended():
			found = append(found, t)
		}
	}
	slices.SortFunc(found, ticket.ByQueue)
	if last != nil {
		found = append(found, *last)
	}
	return found, nil
}

// Last implements [ticket.Store].
func (s *Store) Last(ctx context.Context, player string) (ticket.Ticket, error) {
	id, err := s.client.Get(ctx, s.prefix+"played:"+player).Result()
	if errors.Is(err, redis.Nil) {
		return ticket.Ticket{}, ticket.ErrNotFound
	}
	if err != nil {
		return ticket.Ticket{}, unavailable(err)
	}
	return s.Get(ctx, id)
}

// readAll returns the tickets of some ids that are there, and what is wrong with those that cannot
// be read.
func (s *Store) readAll(ctx context.Context, ids []string) (all []ticket.Ticket, unreadable, err error) {
	all = make([]ticket.Ticket, 0, len(ids))
	for some := range slices.Chunk(ids, batch) {
		pipe := s.client.Pipeline()
		read := make([]*redis.SliceCmd, len(some))
		for i, id := range some {
			read[i] = pipe.HMGet(ctx, s.prefix+"t:"+id, hashFields...)
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return nil, nil, unavailable(err)
		}
		for i, id := range some {
			switch t, _, err := decode(id, read[i].Val()); {
			case err == nil:
				all = append(all, t)
			case !errors.Is(err, ticket.ErrNotFound):
				unreadable = errors.Join(unreadable, err)
			}
		}
	}
	return all, unreadable, nil
}

// passOver logs, now and then, that tickets cannot be read, or not be changed, as while some
// frontends are older than others: nothing else may come to a halt for it. nil is no error.
func (s *Store) passOver(err error) {
	if err == nil {
		return
	}
	now := s.limits.Now()
	s.mu.Lock()
	due := now.Sub(s.passedOver).Abs() >= passedOverEvery
	if due {
		s.passedOver = now
	}
	s.mu.Unlock()
	if due {
		s.logger.Error("tickets in Redis that cannot be read are passed over: their players wait, and they do not expire", "error", err)
	}
}

// read returns a ticket with its version.
func (s *Store) read(ctx context.Context, id string) (ticket.Ticket, string, error) {
	fields, err := s.client.HMGet(ctx, s.prefix+"t:"+id, hashFields...).Result()
	if err != nil {
		return ticket.Ticket{}, "", unavailable(err)
	}
	return decode(id, fields)
}

// Update implements [ticket.Store].
func (s *Store) Update(ctx context.Context, id string, e ticket.Event) (ticket.Change, error) {
	if s.isClosed() && e.Kind.Begins() {
		return ticket.Change{}, ticket.ErrClosed
	}
	return s.update(ctx, id, e)
}

// update applies an event to a ticket as it is, however often that changes
// meanwhile.
func (s *Store) update(ctx context.Context, id string, e ticket.Event) (ticket.Change, error) {
	op := strconv.FormatUint(rand.Uint64(), 36)
	for {
		t, isFresh := s.takeFresh(id)
		version, err := firstVersion, error(nil)
		if !isFresh {
			t, version, err = s.read(ctx, id)
		}
		if err != nil {
			return ticket.Change{}, err
		}
		c := t.Apply(e, s.limits.Now())
		switch {
		case !c.Changed() && isFresh:
			continue // it may be another by now
		case !c.Changed():
			return c, nil
		}
		args, err := s.swapArgs(&c, version, op)
		if err != nil {
			return ticket.Change{}, err
		}
		answer, err := s.run(ctx, swapScript, args...)
		if err != nil {
			return ticket.Change{}, err
		}
		switch answer[0] {
		case "done":
			c.Others = answer[1:]
			return c, nil
		case "changed": // meanwhile: it is read again
		case "gone":
			return ticket.Change{}, ticket.ErrNotFound
		case "seat":
			return ticket.Change{}, &ticket.ConflictError{Player: c.Joined, Queue: t.Queue, ID: answer[1]}
		case "early":
			early, err := decodeAssignment(answer[1], answer[2])
			if err != nil {
				return ticket.Change{}, err
			}
			e.Kind, e.Assignment = ticket.AttachAssigned, early
		default:
			return ticket.Change{}, fmt.Errorf("change of ticket %q: Redis answered %q", id, answer)
		}
	}
}

// firstVersion is that of a ticket that was just created.
const firstVersion = "1"

// takeFresh returns a ticket as this frontend has created it, once: its Attach or
// AbortCreate follows, and mostly nothing has changed it by then. Where something has, the
// script says so.
func (s *Store) takeFresh(id string) (ticket.Ticket, bool) {
	made, _ := s.fresh.LoadAndDelete(id)
	t, ok := made.(ticket.Ticket)
	return t, ok
}

// class is what the scripts know of a state.
func class(s ticket.State) string {
	switch s {
	case ticket.Gathering:
		return "gathering"
	case ticket.Creating, ticket.Recreating, ticket.Gathered:
		return "creating"
	case ticket.Waiting, ticket.Accepting:
		return "attached"
	case ticket.Lost:
		return "lost"
	case ticket.Assigned:
		return "assigned"
	case ticket.None:
		return "none"
	}
	return "ended"
}

func (s *Store) swapArgs(c *ticket.Change, version, op string) ([]any, error) {
	t, before := &c.Ticket, ""
	if class(c.From) == "attached" {
		before = c.FromOpenMatchID
	}
	connection, details := encodeAssignment(t.Assignment)
	visible := "0"
	if c.Visible() {
		visible = "1"
	}
	reason := ""
	if t.Ended() && t.Reason != t.State.Reason() {
		reason = t.Reason
	}
	var static, party []byte
	if c.Party {
		var err error
		if static, err = encode(t); err != nil {
			return nil, err
		}
		if party, err = encodeParty(t.Party); err != nil {
			return nil, err
		}
	}
	var asked []byte
	if c.Acceptance {
		var err error
		if asked, err = json.Marshal(t.Acceptance); err != nil {
			return nil, fmt.Errorf("encode acceptance: %w", err)
		}
	}
	due := ""
	if at := t.Due(); !at.IsZero() {
		due = strconv.FormatInt(at.UnixMicro(), 10)
	}
	return append([]any{
		t.ID, version, op, class(c.From), class(t.State), int(t.State), before, t.OpenMatchID,
		t.Updated.UnixNano(), t.Updated.UnixMicro(), s.limits.Now().UnixMicro(), connection, details, visible,
		static, party, code(t), c.Joined, c.Left, s.playedFor(), reason,
		t.Queue, encodeWait(t), ticket.MostWaits, ticket.WaitsAge.Milliseconds(), asked, due,
	}, holders(t)...), nil
}

// Assign implements [ticket.Store].
func (s *Store) Assign(ctx context.Context, openMatchID string, a ticket.Assignment) (ticket.Change, error) {
	if s.isClosed() {
		return ticket.Change{}, ticket.ErrClosed
	}
	connection, details := encodeAssignment(&a)
	id, err := assignScript.Run(ctx, s.client, []string{s.prefix}, openMatchID, connection, details, earlyAge.Milliseconds()).Text()
	if err != nil {
		return ticket.Change{}, unavailable(err)
	}
	if id == "" {
		return ticket.Change{}, ticket.ErrNotFound
	}
	return s.update(ctx, id, ticket.Event{Kind: ticket.Assign, OpenMatchID: openMatchID, Assignment: &a})
}

// UpdateOpenMatch implements [ticket.Store].
func (s *Store) UpdateOpenMatch(ctx context.Context, openMatchID string, e ticket.Event) (ticket.Change, error) {
	if s.isClosed() && e.Kind.Begins() {
		return ticket.Change{}, ticket.ErrClosed
	}
	id, err := s.client.Get(ctx, s.prefix+"om:"+openMatchID).Result()
	if errors.Is(err, redis.Nil) {
		return ticket.Change{}, ticket.ErrNotFound
	}
	if err != nil {
		return ticket.Change{}, unavailable(err)
	}
	e.OpenMatchID = openMatchID
	return s.update(ctx, id, e)
}

// Accepting implements [ticket.Store].
func (s *Store) Accepting(ctx context.Context) ([]ticket.Ticket, error) {
	ids, err := s.client.ZRange(ctx, s.prefix+"accepting", 0, -1).Result()
	if err != nil {
		return nil, unavailable(err)
	}
	all, unreadable, err := s.readAll(ctx, ids)
	s.passOver(unreadable)
	return slices.DeleteFunc(all, func(t ticket.Ticket) bool { return t.State != ticket.Accepting }), err
}

// Open implements [ticket.Store]. Each ticket is looked after by one of the frontends
// that are alive, as their names and its id decide.
func (s *Store) Open(ctx context.Context) ([]string, error) {
	pipe := s.client.Pipeline()
	open := pipe.ZRange(ctx, s.prefix+"open", 0, -1)
	creating := pipe.ZRange(ctx, s.prefix+"creating", 0, -1)
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, unavailable(err)
	}
	skip := make(map[string]bool, len(creating.Val()))
	for _, id := range creating.Val() {
		skip[id] = true
	}
	s.mu.Lock()
	alive := s.alive
	s.mu.Unlock()
	ids := make([]string, 0, len(open.Val())/max(len(alive), 1)+1)
	for _, member := range open.Val() {
		if id := member[min(16, len(member)):]; !skip[id] && s.looksAfter(id, alive) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// looksAfter reports whether a ticket is this frontend's: of all that are alive it
// has the highest hash with it, so that one that comes or goes moves few.
func (s *Store) looksAfter(id string, alive []string) bool {
	own := share(s.name, id)
	for _, other := range alive {
		if other != s.name && share(other, id) > own {
			return false
		}
	}
	return true
}

func share(name, id string) uint64 { return xxhash.Sum64String(name + "\x00" + id) }

// Expire implements [ticket.Store]. A ticket whose frontend died while Open Match
// was to create its own is taken out of that state.
func (s *Store) Expire(ctx context.Context) ([]ticket.Change, error) {
	if s.isClosed() {
		return nil, ticket.ErrClosed
	}
	expired, err := s.expire(ctx)
	if err != nil {
		s.mu.Lock()
		s.away = s.limits.Now()
		s.mu.Unlock()
	}
	return expired, err
}

func (s *Store) expire(ctx context.Context) ([]ticket.Change, error) {
	now := s.limits.Now()
	var expired []ticket.Change
	ages := map[string]time.Duration{"gathering": s.limits.Gathering, "open": s.limits.Timeout}
	for queue, limit := range s.limits.OfQueues() {
		ages["waiting:"+queue] = limit
	}
	for list, age := range ages {
		changes, err := s.end(ctx, list, 16, now.Add(-age), ticket.Event{Kind: ticket.Expire})
		expired = append(expired, changes...)
		if err != nil {
			return expired, err
		}
	}
	if s.limits.Gone > 0 && now.Sub(s.lastAway()) >= s.limits.Gone {
		gone, err := s.end(ctx, "seen", 0, now.Add(-s.limits.Gone), ticket.Event{Kind: ticket.Cancel})
		expired = append(expired, gone...)
		if err != nil {
			return expired, err
		}
	}
	for _, e := range []ticket.Event{{Kind: ticket.Lapse, Away: s.lastAway()}, {Kind: ticket.Recall}} {
		over, err := s.end(ctx, "accepting", 0, now, e)
		expired = append(expired, over...)
		if err != nil {
			return expired, err
		}
	}
	for _, k := range []ticket.Kind{ticket.AbortCreate, ticket.AbortRetry} {
		if _, err := s.end(ctx, "creating", 0, now.Add(-orphanAge), ticket.Event{Kind: k}); err != nil {
			return expired, err
		}
	}
	forget := map[string]time.Duration{"ended": s.limits.Ended}
	if now.Sub(s.lastAway()) >= ticket.KeepBefore(s.limits.Assigned) {
		forget["assigned"] = s.limits.Assigned
	}
	for list, age := range forget {
		for n := batch; n == batch; {
			var err error
			n, err = forgetScript.Run(ctx, s.client, []string{s.prefix}, list, now.Add(-age).UnixMicro(), batch).Int()
			if err != nil {
				return expired, unavailable(err)
			}
		}
	}
	return expired, nil
}

// Waits implements [ticket.Store].
func (s *Store) Waits(ctx context.Context, queue string) ([]ticket.Wait, error) {
	texts, err := s.client.LRange(ctx, s.prefix+"waits:"+queue, 0, -1).Result()
	if err != nil {
		return nil, unavailable(err)
	}
	waits := make([]ticket.Wait, 0, len(texts))
	var unreadable error
	for _, text := range texts {
		w, err := decodeWait(text)
		if err != nil {
			unreadable = err
			continue
		}
		waits = append(waits, w)
	}
	if len(waits) > 0 {
		return waits, nil // an estimate from fewer
	}
	return nil, unreadable
}

// Touch implements [ticket.Store].
func (s *Store) Touch(ctx context.Context, ids []string) error {
	now := float64(s.limits.Now().UnixMicro())
	for some := range slices.Chunk(ids, batch) {
		members := make([]redis.Z, 0, len(some))
		for _, id := range some {
			members = append(members, redis.Z{Score: now, Member: id})
		}
		if err := s.client.ZAddArgs(ctx, s.prefix+"seen", redis.ZAddArgs{XX: true, GT: true, Members: members}).Err(); err != nil {
			return unavailable(err)
		}
	}
	return nil
}

// AssignedBefore implements [ticket.Store].
func (s *Store) AssignedBefore(ctx context.Context, age time.Duration) ([]ticket.Ticket, error) {
	members, err := s.client.ZRangeArgs(ctx, redis.ZRangeArgs{
		Key: s.prefix + "assigned", ByScore: true, Start: "-inf", Stop: s.limits.Now().Add(-age).UnixMicro(),
	}).Result()
	if err != nil {
		return nil, unavailable(err)
	}
	s.mu.Lock()
	alive := s.alive
	s.mu.Unlock()
	var ids []string
	for _, member := range members {
		if id := member[min(16, len(member)):]; s.looksAfter(id, alive) {
			ids = append(ids, id)
		}
	}
	all, unreadable, err := s.readAll(ctx, ids)
	s.passOver(unreadable)
	return all, err
}

// Keep implements [ticket.Store].
func (s *Store) Keep(ctx context.Context, t *ticket.Ticket) error {
	args := append([]any{t.ID, s.limits.Now().UnixMicro(), s.playedFor()}, holders(t)[1:]...)
	found, err := keepScript.Run(ctx, s.client, []string{s.prefix}, args...).Int()
	if err != nil {
		return unavailable(err)
	}
	if found == 0 {
		return ticket.ErrNotFound
	}
	return nil
}

// playedFor is for how many ms Redis remembers by which ticket a player has got their last
// match.
func (s *Store) playedFor() int64 {
	return s.limits.Assigned.Milliseconds() + playedLonger.Milliseconds()
}

func (s *Store) lastAway() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.away
}

// end applies an event to the tickets of a list that are as old as a time, and
// returns what that has changed. skip is how much of a member is not the id. A ticket
// that a frontend has ended which does not know the list yet is taken out of it.
func (s *Store) end(ctx context.Context, list string, skip int, before time.Time, e ticket.Event) ([]ticket.Change, error) {
	var changes []ticket.Change
	for {
		members, err := s.client.ZRangeArgs(ctx, redis.ZRangeArgs{
			Key: s.prefix + list, ByScore: true, Start: "-inf", Stop: before.UnixMicro(), Count: batch,
		}).Result()
		if err != nil {
			return changes, unavailable(err)
		}
		left := len(members)
		for _, member := range members {
			c, err := s.update(ctx, member[min(skip, len(member)):], e)
			switch {
			case errors.Is(err, ticket.ErrUnavailable):
				return changes, err
			case err != nil && !errors.Is(err, ticket.ErrNotFound):
				s.passOver(err)
				continue
			case err == nil && c.Changed():
				changes = append(changes, c)
			case err == nil && !c.Ticket.Ended():
				continue
			default:
				if err := s.client.ZRem(ctx, s.prefix+list, member).Err(); err != nil {
					return changes, unavailable(err)
				}
			}
			left--
		}
		if left == len(members) || len(members) < batch {
			return changes, nil
		}
	}
}

// Close implements [ticket.Store]. The other frontends, or the next one, look after
// all tickets: it returns none.
func (s *Store) Close(ctx context.Context) ([]ticket.Ticket, error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, nil
	}
	s.closed = true
	close(s.closing)
	s.mu.Unlock()
	s.wakeAll()
	if err := s.client.ZRem(ctx, s.prefix+"frontends", s.name).Err(); err != nil {
		return nil, unavailable(err)
	}
	return nil, nil
}

func (s *Store) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// live says again and again that this frontend is alive, and hears who else is.
func (s *Store) live(ctx context.Context) {
	health := rpc.NewHealth(s.logger, "Redis cannot be reached", "Redis is reached again")
	for ctx.Err() == nil {
		name := s.name
		if s.isClosed() {
			name = ""
		}
		alive, err := aliveScript.Run(ctx, s.client, []string{s.prefix}, name, dead.Milliseconds()).StringSlice()
		s.mu.Lock()
		if err == nil {
			s.alive = alive
		} else {
			s.away = s.limits.Now()
		}
		s.mu.Unlock()
		if err == nil {
			s.reached.Store(true)
		}
		if ctx.Err() == nil {
			health.Record(err)
		}
		pause := beat
		if !s.reached.Load() {
			pause = firstTries
		}
		_ = rpc.Sleep(ctx, pause) // ends with ctx
	}
}

// run runs a script that answers with texts.
func (s *Store) run(ctx context.Context, script *redis.Script, args ...any) ([]string, error) {
	answer, err := script.Run(ctx, s.client, []string{s.prefix}, args...).StringSlice()
	if err != nil {
		return nil, unavailable(err)
	}
	if len(answer) == 0 {
		return nil, errors.New("Redis answered nothing")
	}
	return answer, nil
}

// unavailable says that it is unknown whether a call had an effect.
func unavailable(err error) error { return fmt.Errorf("%w: %w", ticket.ErrUnavailable, err) }
