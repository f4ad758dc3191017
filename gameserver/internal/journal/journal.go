// Package journal is what a gate remembers beyond its own process: which tokens have
// been used, and who has come for the match and left. A gate that was killed would
// otherwise admit a token twice, and take a server full of players for one that
// nobody joined.
//
// # File
//
// The journal is an append-only text file; each line is one record, a JSON object
// with a "type". The first record of the file, and no other, is "begin".
//
//	{"type":"begin","version":1,"at":T}   at: uses before T may be missing; left out: none are
//	{"type":"used","jti":ID,"exp":S}      the token is used; S: when it expires, in seconds since 1970
//	{"type":"fresh"}                      the T of begin is over
//	{"type":"allocated","uid":…,"server":"NAMESPACE/NAME","match":…,"at":T}
//	                                      a new allocation, nobody has come yet; without match: the server is free
//	{"type":"admitted","player":…,"team":…,"jti":ID,"exp":S,"attempt":…,"reconnect":B,"at":T}
//	                                      the player has come in; the token is used, unless exp is left out; attempt and
//	                                      reconnect: the request, and what it was answered; "joined":T: found for the running match
//	{"type":"departed","player":…,"at":T} the player, who was present or had lapsed, has left; "lapsed":true: nobody has said so
//	{"type":"backfill","stop":B}          the game server wants more players, or no more
//	{"type":"given","player":…,"joined":T} the player's place is given to somebody else
//	{"type":"closed","stop":B}            nobody new comes in, or again somebody does
//	{"type":"banned","player":…,"at":T}   the player does not come in any more, and has left if they were present
//
// Times T are RFC 3339. A player comes in with one record, so that there is no moment
// at which the token is used and the player is not here.
//
// A record counts once its line has an end. An admission is on disk before it is
// answered. Departures and allocations outlive the process, not the machine, which
// would take the pod with it: nothing is synced for them.
//
// Opening reads the file and replaces it in one step by the fewest records that say
// the same; so does, now and then, a write. So a last line without an end, which a
// killed gate may leave, goes away: what it was about was never answered. After a
// write that failed nobody knows how much of it is in the file: the next one replaces
// the file first.
//
// A file that is not there, or has a line that no gate wrote there, may lack uses.
// What can be read of it counts, and tokens that were issued before the moment of
// opening are refused (issued_before_start), after later restarts too. "iat" is cut to
// whole seconds: a token of the very second of the start counts as older, since it may
// be. This would also hit the first players of a server that has just been born; its
// gate knows better and calls [Journal.MarkFresh].
//
// PATH.lock keeps a second gate from using the same journal; the lock ends with the
// process. The files live as long as the pod, so that no version reads another's.
package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"torikumi/pkg/atomicfile"
	"torikumi/pkg/token"
)

// leastSweep is how many records are written at least between two replacements of
// the file; with more to remember it is as many as it takes.
const leastSweep = 256

// Journal is the memory of a gate. It is not safe for concurrent use: the lock of
// what owns it guards it. A file belongs to one Journal at a time.
//
// A token is remembered until token.MaxLeeway after its expiry, that is, for as long
// as any [token.Verifier] could accept it.
type Journal struct {
	now  func() time.Time
	path string   // empty: memory only
	lock *os.File // nil: memory only, or closed
	file *os.File // nil: memory only, or to be replaced before the next write

	contents  contents
	recovered bool // the presence is an earlier gate's, and not taken over yet
	damaged   bool
	closed    bool
	sweep     int // writes until the next sweep
}

var errClosed = errors.New("journal is closed")

// Open reads the journal at path, or begins one; its directory must exist and should
// live as long as the pod. With an empty path nothing outlives the process. A nil now
// means time.Now. What is there and is no regular file is refused: replacing it would
// destroy a device, as /dev/null, and reading a pipe waits for ever.
func Open(path string, now func() time.Time) (*Journal, error) {
	if now == nil {
		now = time.Now
	}
	j := &Journal{now: now, path: path, contents: newContents(), sweep: leastSweep}
	if path == "" {
		j.contents.start = now()
		return j, nil
	}
	err := checkFile(path)
	if err != nil {
		return nil, err
	}
	if j.lock, err = openLock(path); err != nil {
		return nil, err
	}
	if err = j.recover(); err != nil {
		return nil, errors.Join(err, j.lock.Close())
	}
	return j, nil
}

func checkFile(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look at journal: %w", err)
	case info.Mode().IsRegular():
		return nil
	}
	kind := "special file"
	for of, name := range map[fs.FileMode]string{fs.ModeDir: "directory", fs.ModeNamedPipe: "named pipe", fs.ModeDevice: "device", fs.ModeSocket: "socket"} {
		if info.Mode()&of != 0 {
			kind = name
		}
	}
	return fmt.Errorf("must name a regular file, or none that is there yet, got the %s %q", kind, path)
}

func openLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock journal %q: %w", filepath.Base(path), err)
	}
	if err := lockFile(f); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock journal %q, which another process may be using: %w", filepath.Base(path), err)
	}
	return f, nil
}

// recover takes over what an earlier gate has left.
func (j *Journal) recover() error {
	data, err := os.ReadFile(j.path)
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return fmt.Errorf("read journal: %w", err)
	}
	var whole bool
	if j.contents, whole = parse(data); !whole {
		j.contents.start = j.now()
	}
	j.forgetExpired()
	j.damaged = !whole && !missing
	j.recovered = j.contents.presence.Match != ""
	return j.replace()
}

// Damaged reports whether Open found a file with a record that no gate wrote.
func (j *Journal) Damaged() bool { return j.damaged }

// Presence returns who has come for the allocation that Allocate named last. It
// changes with the journal; the caller only reads it.
func (j *Journal) Presence() *Presence {
	if j.recovered {
		p := newPresence()
		return &p
	}
	return &j.contents.presence
}

// MarkFresh says that no token that will be accepted from now on can have been
// used before: the gate has seen, after Open, that its game server has no match yet,
// or a new one, and a token opens the server for its own match only. The rule about
// tokens issued before the start ends, durably.
func (j *Journal) MarkFresh() error {
	if j.closed {
		return errClosed
	}
	if j.contents.start.IsZero() {
		return nil
	}
	if err := j.append(record{Type: kindFresh}, true); err != nil {
		return err
	}
	j.contents.start = time.Time{}
	return nil
}

// Allocate begins with an allocation of the server, namespace/name; without a match,
// with a server that is free. If an earlier gate has left who came for this very
// allocation, and Allocate is called for the first time, it takes that over and
// reports true. An error says that the next gate would not know of the allocation;
// this one does.
func (j *Journal) Allocate(uid, server, match string, at time.Time) (restored bool, err error) {
	p := &j.contents.presence
	if j.recovered && p.UID == uid && p.Server == server && p.Match == match {
		j.recovered = false
		return true, nil
	}
	j.recovered = false
	return false, j.record(record{Type: kindAllocated, UID: uid, Server: server, Match: match, At: at})
}

// Admit spends the player's token, whose id is player.Admission, and makes the player
// present. It returns nil only once for an id, and only when that is on disk; any
// other answer is a [*token.Refusal]. expiry and issued are those of the token.
func (j *Journal) Admit(player Player, expiry, issued time.Time) (reconnect bool, err error) {
	switch {
	case !ValidID(player.Admission):
		return false, token.Refuse(token.ReasonBadClaim, "jti is not the id of a token")
	case j.closed:
		return false, &token.Refusal{Reason: token.ReasonJournalUnavailable, Detail: "shutting down", Cause: errClosed}
	case j.forgotten(expiry.Unix()):
		return false, token.Refuse(token.ReasonExpired, "exp has passed too long ago")
	}
	if _, ok := j.contents.used[player.Admission]; ok {
		return false, token.Refuse(token.ReasonReplayed, "jti has been used")
	}
	if issued.Before(j.contents.start) {
		return false, token.Refuse(token.ReasonIssuedBeforeStart, "iat lies before the start of the record of used tokens")
	}
	player.Reconnect = j.Presence().Knows(player.Player)
	err = j.append(record{
		Type: kindAdmitted, Player: player.Player, Team: player.Team, At: player.Since, ID: player.Admission,
		Attempt: player.Attempt, Reconnect: player.Reconnect, Joined: player.Joined, Expiry: expiry.Unix(),
	}, true)
	if err != nil {
		return false, &token.Refusal{Reason: token.ReasonJournalUnavailable, Detail: "the use could not be recorded", Cause: err}
	}
	j.contents.used[player.Admission] = expiry.Unix()
	j.contents.presence.Enter(player)
	return player.Reconnect, nil
}

// Depart makes a present player a departed one, by the word of the game server or,
// lapsed, for want of it; by that word also one who has lapsed. Nothing happens if the
// player is neither. An error says that the next gate would not know; this one does.
func (j *Journal) Depart(player string, at time.Time, lapsed bool) error {
	p := j.Presence()
	if _, present := p.Present[player]; !present && (lapsed || !p.lapsed(player)) {
		return nil
	}
	return j.record(record{Type: kindDeparted, Player: player, At: at, Lapsed: lapsed})
}

// Return makes a player present without a token, by the word of the game server: one
// whose stay has lapsed, or whom a lost journal knew. An error says that the next gate
// would not know of them; this one does.
func (j *Journal) Return(player Player) error {
	if !ValidID(player.Admission) {
		return fmt.Errorf("return of %q: not the id of an admission", player.Player)
	}
	return j.record(record{
		Type: kindAdmitted, Player: player.Player, Team: player.Team, At: player.Since, ID: player.Admission,
		Attempt: player.Attempt, Reconnect: player.Reconnect, Joined: player.Joined,
	})
}

// Want records what the game server wants of more players. After an error nothing has
// changed.
func (j *Journal) Want(b Backfill) error {
	if j.Presence().Backfill == b {
		return nil
	}
	return j.change(record{Type: kindBackfill, Stop: b == BackfillStopped})
}

// Give records that the place which a player has since joined is given to somebody else.
// After an error nothing has changed: the player keeps the place.
func (j *Journal) Give(player string, joined time.Time) error {
	return j.change(record{Type: kindGiven, Player: player, Joined: joined})
}

// SetClosed records whether the match is closed to newcomers. After an error nothing has
// changed.
func (j *Journal) SetClosed(closed bool) error {
	if j.Presence().Closed == closed {
		return nil
	}
	return j.change(record{Type: kindClosed, Stop: !closed})
}

// Ban records that a player may not come back, and that one who is here has left: with one
// record, so that no gate finds them banned and here. After an error nothing has changed.
func (j *Journal) Ban(player string, at time.Time) error {
	if j.Presence().Banned[player] {
		return nil
	}
	return j.change(record{Type: kindBanned, Player: player, At: at})
}

// change writes what happens only once it is written.
func (j *Journal) change(r record) error {
	if j.closed {
		return errClosed
	}
	if err := j.append(r, false); err != nil {
		return err
	}
	return j.contents.apply(r)
}

// Incomplete reports whether somebody may be here whom the journal does not know: what
// an earlier gate has written is lost, and the gate has not seen the match begin.
func (j *Journal) Incomplete() bool { return !j.contents.start.IsZero() }

// Close ends the use of the file, for another Journal to open. Later uses of tokens
// are refused. The second and later calls do nothing.
func (j *Journal) Close() error {
	if j.closed {
		return nil
	}
	j.closed = true
	if j.path == "" {
		return nil
	}
	var err error
	if j.file == nil { // the last write has failed
		err = j.replace()
	}
	j.closeFile()
	return errors.Join(err, j.lock.Close())
}

// record writes what has happened anyway: it counts even if it cannot be written.
func (j *Journal) record(r record) error {
	err := errClosed
	if !j.closed {
		err = j.append(r, false)
	}
	return errors.Join(err, j.contents.apply(r))
}

// append writes a record, and a durable one to the disk.
func (j *Journal) append(r record, durable bool) error {
	if j.sweep--; j.sweep <= 0 {
		j.forgetExpired()
		j.sweep = max(leastSweep, j.contents.size())
		j.closeFile() // to be replaced without what has expired
	}
	if j.path == "" {
		return nil
	}
	if j.file == nil {
		if err := j.replace(); err != nil {
			return err
		}
	}
	_, err := j.file.Write(r.line())
	if err == nil && durable {
		err = j.file.Sync()
	}
	if err != nil {
		j.closeFile()
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

// replace writes the file anew and opens it for more.
func (j *Journal) replace() error {
	j.closeFile()
	var b bytes.Buffer
	for _, r := range j.contents.records() {
		b.Write(r.line())
	}
	if err := atomicfile.Write(j.path, b.Bytes(), time.Time{}); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	f, err := os.OpenFile(j.path, os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	j.file = f
	return nil
}

// closeFile closes the file: all of it that has to be durable has been synced.
func (j *Journal) closeFile() {
	if j.file != nil {
		_ = j.file.Close()
		j.file = nil
	}
}

// forgotten reports whether a token with this expiry is out of every verifier's
// reach, and so need not be remembered.
func (j *Journal) forgotten(expiry int64) bool {
	return !j.now().Before(time.Unix(expiry, 0).Add(token.MaxLeeway))
}

func (j *Journal) forgetExpired() {
	for id, expiry := range j.contents.used {
		if j.forgotten(expiry) {
			delete(j.contents.used, id)
		}
	}
}
