package backfill

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/director/internal/match"
	"torikumi/director/internal/servers"
	"torikumi/pkg/agones"
	"torikumi/pkg/contract"
	"torikumi/pkg/queues"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// task is one step for one match.
type task struct {
	*Filler
	log    *slog.Logger
	server servers.Server
	queue  queues.Queue
	sizes  map[string]int
	// written is the roster of the server, and roster what it is to be.
	written, roster *torikumiv1.Roster
	players         map[string]*torikumiv1.Player
	// banned are not to be found, in order, and the gate has said so in this step if told is
	// true. Who was found before that joins, and is refused by the gate.
	banned []string
	told   bool
}

// task begins a step for an allocated server. The error says why its match cannot be
// filled up.
func (f *Filler) task(s servers.Server) (*task, error) {
	roster, err := contract.DecodeRoster(s.Annotations[contract.RosterAnnotation])
	switch {
	case err != nil:
		return nil, err
	case contract.MatchLabelValue(roster.GetOpenMatchId()) != s.Labels[contract.MatchLabel]:
		return nil, errors.New("the roster is another match's")
	case roster.GetBackfill() == nil:
		return nil, fmt.Errorf("the match of queue %q is not filled up", roster.GetQueue())
	}
	q, ok := f.o.Queues.Current().Get(roster.GetQueue())
	if !ok || q.Backfill == nil {
		return nil, fmt.Errorf("queue %q fills no matches up", roster.GetQueue())
	}
	players, err := contract.DecodePlayers(s.Annotations[contract.PlayersAnnotation])
	if err != nil {
		return nil, err
	}
	t := &task{
		Filler: f, server: s, queue: q, sizes: q.TeamSizes(), written: roster, roster: roster,
		players: make(map[string]*torikumiv1.Player),
		log:     f.o.Logger.With("match", s.Labels[contract.MatchLabel], "gameserver", s.ID(), "queue", q.Name),
	}
	for _, p := range players.GetPlayers() {
		t.players[p.GetId()] = p
	}
	return t, nil
}

// find finds the allocated game server of a match: as it was a moment ago, or as it is.
// It is nil if there is none.
func (f *Filler) find(ctx context.Context, namespace, match string, anew bool, own func(servers.Server) bool) (*servers.Server, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var list []servers.Server
	var err error
	if anew {
		list, err = f.o.GameServers.List(ctx, namespace, map[string]string{contract.MatchLabel: match})
	} else {
		list, err = f.o.GameServers.Find(ctx, namespace, match)
	}
	for i := range list {
		if s := &list[i]; s.State == agones.Allocated && s.Labels[contract.MatchLabel] == match && own(*s) {
			return s, nil
		}
	}
	return nil, err
}

func (t *task) match() string { return t.server.Labels[contract.MatchLabel] }

func (t *task) backfill() string { return t.server.Annotations[contract.BackfillAnnotation] }

// step does what there is to do so that the match has the players of t.roster and those
// who were found, and that more are searched for. The error is servers.ErrChanged if
// somebody else was quicker.
func (t *task) step(ctx context.Context) error {
	id := t.backfill()
	if id == "" {
		return t.begin(ctx)
	}
	d, err := t.read(ctx, id)
	switch {
	case err != nil:
		return err
	case d == nil:
		return t.begin(ctx)
	}
	switch joined, err := t.join(ctx, id, d); {
	case err != nil:
		return err
	case !joined:
		return t.begin(ctx)
	}
	return nil
}

// begin searches for players by a new backfill, unless all places are taken. Of several
// directors, one gets its backfill into the annotation.
func (t *task) begin(ctx context.Context) error {
	if open(t.roster, t.sizes) == 0 {
		return t.write(ctx, "")
	}
	id, err := t.create(ctx, t.ask())
	if err != nil {
		return err
	}
	if err = t.write(ctx, id); err == nil {
		t.log.Info("players are searched for", "backfill", id, "places", open(t.roster, t.sizes))
		return nil
	}
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	if s, _ := t.find(undo, t.server.Namespace, t.match(), true, t.server.Is); s != nil && s.Annotations[contract.BackfillAnnotation] == id {
		return err // it is there: somebody has seen it before us, or the answer was lost
	}
	if failed := t.remove(undo, id); failed != nil {
		t.log.Warn("backfill not deleted; it expires", "backfill", id, "error", failed)
	}
	return err
}

func (t *task) ask() *torikumiv1.BackfillDetails {
	return ask(t.roster, t.players, t.banned, t.server.ID(), t.match())
}

// stop ends the search. Who was found and is not assigned yet searches on.
func (t *task) stop(ctx context.Context) error {
	if id := t.backfill(); id != "" {
		if err := t.remove(ctx, id); err != nil {
			return err
		}
		t.log.Info("no more players are searched for", "backfill", id)
	}
	return t.write(ctx, "")
}

// write brings the server's annotations up to date, if anything has changed.
func (t *task) write(ctx context.Context, backfill string) error {
	set := make(map[string]string)
	if backfill != t.backfill() {
		set[contract.BackfillAnnotation] = backfill
	}
	if !proto.Equal(t.roster, t.written) {
		roster, err := contract.EncodeRoster(t.roster)
		if err != nil {
			return fmt.Errorf("encode roster: %w", err)
		}
		players, fits, err := contract.EncodePlayers(t.rosterPlayers())
		switch {
		case err != nil:
			return fmt.Errorf("encode players: %w", err)
		case !fits:
			return errTooLarge
		}
		set[contract.RosterAnnotation], set[contract.PlayersAnnotation] = roster, players
	}
	if len(set) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	now, err := t.o.GameServers.Annotate(ctx, t.server, set)
	if err != nil {
		return err
	}
	t.server, t.written = now, t.roster
	return nil
}

// errTooLarge says that the server cannot keep what one more player is like.
var errTooLarge = errors.New("what the players are like is too large for the game server")

// rosterPlayers are those on the roster, in its order.
func (t *task) rosterPlayers() *torikumiv1.RosterPlayers {
	all := new(torikumiv1.RosterPlayers)
	for _, team := range t.roster.GetTeams() {
		for _, m := range team.GetMembers() {
			p := t.players[m.GetPlayerId()]
			if p == nil {
				p = &torikumiv1.Player{Id: m.GetPlayerId()}
			}
			all.Players = append(all.Players, p)
		}
	}
	return all
}

// admit gives those who join by a backfill a place on the roster; false if there is none.
func (t *task) admit(d *torikumiv1.BackfillDetails) bool {
	roster, ok := join(t.roster, d, t.sizes, time.Now())
	if !ok {
		return false
	}
	attributes := t.queue.AttributeNames()
	for _, team := range d.GetTeams() {
		for _, p := range team.GetPlayers() {
			if t.players[p.GetId()] == nil {
				t.players[p.GetId()] = match.Reduce(p, attributes)
			}
		}
	}
	t.roster = roster
	return true
}

// place is what those who join are told, and whoever asks Open Match. The error is a refusal
// if nobody can be sent to the server.
func (t *task) place(ctx context.Context) (*openmatch.Assignment, *torikumiv1.AssignmentDetails, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	e, err := t.o.Addresses.Endpoint(ctx, t.server, t.queue.Allocation.Port)
	if err != nil {
		return nil, nil, &refusal{fmt.Sprintf("players cannot be sent to the game server: %v", err)}
	}
	d := &torikumiv1.AssignmentDetails{
		MatchId: t.match(), GameServer: t.server.ID(), Address: e.Host, Port: e.Port, Ports: e.Ports,
		Queue: t.roster.GetQueue(), Region: t.roster.GetRegion(), Teams: toldTeams(t.roster), AllocateTime: timestamppb.Now(),
	}
	a := &openmatch.Assignment{Connection: e.Connection()}
	if err := contract.Put(&a.Extensions, contract.AssignmentExtension, d); err != nil {
		return nil, nil, fmt.Errorf("encode assignment: %w", err)
	}
	return a, d, nil
}
