package matchmaker

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/frontend/internal/ticket"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// playsElsewhere is why a ticket ends whose player has got another match.
const playsElsewhere = "a player has got a match with another ticket"

// directors are the connections to those that are subscribed to. The zero value is
// ready to use, by several at once.
type directors struct {
	mu   sync.Mutex
	list map[*grpc.ClientConn]bool
}

// add adds a connection, until remove is called.
func (d *directors) add(conn *grpc.ClientConn) (remove func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.list == nil {
		d.list = make(map[*grpc.ClientConn]bool)
	}
	d.list[conn] = true
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.list, conn)
	}
}

func (d *directors) all() []*grpc.ClientConn {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]*grpc.ClientConn, 0, len(d.list))
	for conn := range d.list {
		all = append(all, conn)
	}
	return all
}

// Playing asks the directors whether a player still plays the match of an assigned
// ticket. The first that knows is believed: each sees all game servers. known is false
// if none does.
func (c *Client) Playing(ctx context.Context, t *ticket.Ticket, player string) (playing, known bool) {
	playing, known, _ = c.askPlaying(ctx, t, player)
	return playing, known
}

// askPlaying is Playing; away says that nobody knows now, and maybe somebody will later: no
// director can be asked, or one that may know does not answer.
func (c *Client) askPlaying(ctx context.Context, t *ticket.Ticket, player string) (playing, known, away bool) {
	d := t.Assignment.Details
	if d.GetGameServer() == "" || d.GetMatchId() == "" {
		return false, false, false
	}
	ctx, cancel := context.WithTimeout(ctx, c.options.DirectorTimeout)
	defer cancel()
	asked := c.directors.all()
	type answer struct {
		playing bool
		code    codes.Code
	}
	answers := make(chan answer, len(asked))
	for _, conn := range asked {
		go func() {
			// Whoever fails to answer does not know.
			got, err := torikumiv1.NewMatchServiceClient(conn).GetMatch(ctx, &torikumiv1.GetMatchRequest{
				MatchId: d.GetMatchId(), GameServer: d.GetGameServer(), Queue: d.GetQueue(), AllocateTime: d.GetAllocateTime(), PlayerId: player,
			})
			answers <- answer{got.GetPlaying(), status.Code(err)}
		}()
	}
	away = len(asked) == 0
	for range asked {
		switch got := <-answers; got.code {
		case codes.OK:
			return got.playing, true, false
		case codes.FailedPrecondition, codes.Unimplemented, codes.InvalidArgument: // and never will
		default:
			away = true
		}
	}
	return false, false, away
}

// PlayingError says that a player plays the match that they have got by a ticket.
type PlayingError struct{ Player, ID string }

func (e *PlayingError) Error() string {
	return fmt.Sprintf("player %q plays the match of ticket %q", e.Player, e.ID)
}

// checks is how many players of a ticket are looked for at a time.
const checks = 8

// refusePlaying returns a *PlayingError if a player of a ticket plays a match, and may
// not search meanwhile. What nobody knows is not held against them.
func (c *Client) refusePlaying(ctx context.Context, t *ticket.Ticket) error {
	if c.options.WhilePlaying(t.Queue) {
		return nil
	}
	asking, ctx := errgroup.WithContext(ctx)
	asking.SetLimit(checks)
	for _, p := range t.Players {
		asking.Go(func() error {
			_, err := c.mustNotPlay(ctx, p.GetId())
			return err
		})
	}
	return asking.Wait()
}

// mustNotPlay returns the ticket by which a player has got their last match, its id
// empty if there is none, and a *PlayingError if they still play it.
func (c *Client) mustNotPlay(ctx context.Context, player string) (ticket.Ticket, error) {
	last, err := c.lastAssigned(ctx, player)
	if err != nil || last.ID == "" {
		return last, err
	}
	if playing, _ := c.Playing(ctx, &last, player); playing {
		return last, &PlayingError{Player: player, ID: last.ID}
	}
	return last, nil
}

// lastAssigned returns the last ticket of a player that was assigned, its id empty if
// there is none.
func (c *Client) lastAssigned(ctx context.Context, player string) (ticket.Ticket, error) {
	last, err := c.store.Last(ctx, player)
	if errors.Is(err, ticket.ErrNotFound) {
		return ticket.Ticket{}, nil
	}
	return last, err
}

// takeBack ends a ticket that has been made and has no Open Match ticket yet.
func (c *Client) takeBack(ctx context.Context, t *ticket.Ticket) {
	if t.State == ticket.Creating {
		_, _ = c.abort(ctx, t.ID, aborted{kind: ticket.AbortCreate, counted: true}) // it is tried again
		return
	}
	if change, err := c.store.Update(ctx, t.ID, ticket.Event{Kind: ticket.Cancel, Reason: playsElsewhere}); err == nil {
		c.ended(ctx, change, "party not gathered, as its leader plays")
	}
}

// maxLeaves bounds the tickets that wait to be left, leavers is how many are left at a
// time.
const (
	maxLeaves = 4096
	leavers   = 4
)

// leave is a ticket that players are to leave.
type leave struct {
	id      string
	players []*torikumiv1.Player
}

// leaves keep the announcements from waiting for Open Match, which has to take another
// ticket of a party that is left.
type leaves chan leave

// add passes over what is too much: leaveLate does it.
func (l leaves) add(one leave) {
	select {
	case l <- one:
	default:
	}
}

// leaveOthers leaves tickets until ctx ends.
func (c *Client) leaveOthers(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case l := <-c.leaves:
			c.leave(ctx, l.id, l.players)
		}
	}
}

// leave takes players out of another ticket of theirs, now that they have a match,
// unless the queue lets them search on. A party for which Open Match is being asked is
// left by leaveLate.
func (c *Client) leave(ctx context.Context, id string, players []*torikumiv1.Player) {
	t, err := c.store.Get(ctx, id)
	if err != nil || c.options.WhilePlaying(t.Queue) {
		return
	}
	for _, p := range players {
		e := ticket.Event{Kind: ticket.Remove, Removed: p.GetId(), By: p.GetId(), Reason: playsElsewhere}
		if len(t.Players) == 1 {
			e.Kind = ticket.Cancel // which goes at any time
		}
		if t.Has(p.GetId()) {
			_, _ = c.changeParty(ctx, id, e) // what fails now is done by leaveLate
		}
	}
}

// leaveLate takes those out of a ticket that waits who have got a match since it
// waits: whoever was to do so has died, or could not. It reports whether there were
// any.
func (c *Client) leaveLate(ctx context.Context, t *ticket.Ticket) bool {
	if c.options.WhilePlaying(t.Queue) {
		return false
	}
	late := false
	for _, p := range t.Players {
		last, err := c.lastAssigned(ctx, p.GetId())
		if err == nil && last.ID != "" && !last.Updated.Before(t.Searching()) {
			c.leave(ctx, t.ID, []*torikumiv1.Player{p})
			late = true
		}
	}
	return late
}
