package backfill

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"torikumi/director/internal/review"
	"torikumi/director/internal/servers"
	"torikumi/pkg/queues"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Fill implements torikumi.v1.BackfillService.
func (f *Filler) Fill(ctx context.Context, req *torikumiv1.FillRequest) (*torikumiv1.FillResponse, error) {
	resp, queue, err := f.fill(ctx, req)
	f.metrics.requests.WithLabelValues(queue, outcome(resp, err)).Inc()
	return resp, err
}

// outcome names what a gate was answered as in metrics.
func outcome(resp *torikumiv1.FillResponse, err error) string {
	switch status.Code(err) {
	case codes.OK:
		return strings.ToLower(resp.GetState().String())
	case codes.Unavailable:
		return "unavailable"
	}
	return "refused"
}

func (f *Filler) fill(ctx context.Context, req *torikumiv1.FillRequest) (resp *torikumiv1.FillResponse, queue string, err error) {
	of, err := f.caller(ctx)
	if err != nil {
		return nil, "", err
	}
	named, err := check(req)
	if err != nil {
		return nil, "", err
	}
	own := func(s servers.Server) bool { return s.Cluster == of.Cluster && s.Name == of.Name }
	for try := range tries {
		t, err := f.load(ctx, of.Namespace, req.GetMatchId(), try > 0, own)
		var refused *refusal
		switch {
		case errors.Is(err, errNoServer):
			return nil, "", status.Errorf(codes.FailedPrecondition, "match_id: the game server of this pod is not allocated for match %q", req.GetMatchId())
		case errors.As(err, &refused):
			return nil, "", status.Error(codes.FailedPrecondition, refused.reason)
		case err != nil:
			f.health.Down(err)
			return nil, "", status.Error(codes.Unavailable, "the game server cannot be read now: try again")
		}
		queue = t.queue.Name
		if err := t.checkNamed(req.GetPlayers()); err != nil {
			if try == 0 {
				continue // the gate may have seen more than we have
			}
			return nil, queue, err
		}
		t.roster = keep(t.roster, named, seen(req))
		t.banned, t.told = slices.Sorted(slices.Values(req.GetBanned())), true
		if req.GetStop() {
			err = t.stop(ctx)
		} else {
			err = t.step(ctx)
		}
		if !errors.Is(err, servers.ErrChanged) {
			return f.answer(t, req, err)
		}
	}
	return nil, queue, status.Error(codes.Unavailable, "the game server changes all the time: try again")
}

// answer tells the gate how a step has ended.
func (f *Filler) answer(t *task, req *torikumiv1.FillRequest, err error) (*torikumiv1.FillResponse, string, error) {
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		t.log.Warn("match is not filled up any more", "error", err)
		return nil, t.queue.Name, status.Error(codes.FailedPrecondition, refused.reason)
	case errors.Is(err, servers.ErrGone):
		return nil, t.queue.Name, status.Error(codes.FailedPrecondition, "the game server has ended")
	case err != nil:
		f.health.Down(err)
		return nil, t.queue.Name, status.Error(codes.Unavailable, "no players can be searched for now: try again")
	}
	f.health.Up()
	resp := &torikumiv1.FillResponse{State: torikumiv1.FillResponse_SEARCHING, OpenPlaces: int32(open(t.roster, t.sizes)), Next: durationpb.New(next)}
	switch {
	case req.GetStop():
		resp.State = torikumiv1.FillResponse_STOPPED
	case resp.OpenPlaces == 0:
		resp.State = torikumiv1.FillResponse_FULL
	}
	return resp, t.queue.Name, nil
}

// caller tells whose gate calls.
func (f *Filler) caller(ctx context.Context) (review.Identity, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	values := md.Get("authorization")
	if len(values) != 1 {
		return review.Identity{}, status.Error(codes.Unauthenticated, "authorization: required: Bearer and the token of the gate's pod")
	}
	token, ok := strings.CutPrefix(values[0], "Bearer ")
	if !ok || token == "" {
		return review.Identity{}, status.Error(codes.Unauthenticated, "authorization: must be Bearer and the token of the gate's pod")
	}
	of, err := f.o.Reviewer.Review(ctx, token)
	switch {
	case errors.Is(err, review.ErrRefused):
		f.o.Logger.Debug("token of a gate refused", "error", err)
		return of, status.Error(codes.Unauthenticated, "authorization: not the token of a pod for the audience "+review.Audience)
	case err != nil:
		f.health.Down(err)
		return of, status.Error(codes.Unavailable, "the token cannot be looked at now: try again")
	}
	return of, nil
}

// check looks at what a request says by itself.
func check(req *torikumiv1.FillRequest) (named map[string]bool, err error) {
	players := req.GetPlayers()
	switch {
	case req.GetMatchId() == "":
		return nil, status.Error(codes.InvalidArgument, "match_id: required: the value of the game server's label torikumi/match")
	case len(players) > queues.MaxPlayers:
		return nil, status.Errorf(codes.InvalidArgument, "players: must be at most %d, got %d", queues.MaxPlayers, len(players))
	case len(req.GetBanned()) > queues.MaxPlayers:
		return nil, status.Errorf(codes.InvalidArgument, "banned: must be at most %d, got %d", queues.MaxPlayers, len(req.GetBanned()))
	case req.GetRosterJoinTime() != nil && !req.GetRosterJoinTime().IsValid():
		return nil, status.Error(codes.InvalidArgument, "roster_join_time: must be a time")
	}
	named = make(map[string]bool, len(players))
	for i, p := range players {
		if named[p] {
			return nil, status.Errorf(codes.InvalidArgument, "players[%d]: must be unique, got %q", i, p)
		}
		named[p] = true
	}
	for i, p := range req.GetBanned() {
		if named[p] {
			return nil, status.Errorf(codes.InvalidArgument, "banned[%d]: must not be in players, got %q", i, p)
		}
	}
	return named, nil
}

// seen is until when the gate has seen who joined.
func seen(req *torikumiv1.FillRequest) time.Time {
	if t := req.GetRosterJoinTime(); t != nil {
		return t.AsTime()
	}
	return time.Time{}
}

// checkNamed looks for players who are not on the roster.
func (t *task) checkNamed(players []string) error {
	there := members(t.roster)
	i := slices.IndexFunc(players, func(p string) bool { return there[p] == nil })
	if i >= 0 {
		return status.Errorf(codes.InvalidArgument, "players[%d]: must be on the roster, got %q", i, players[i])
	}
	return nil
}

// refusal says why a match is not filled up, whoever asks.
type refusal struct{ reason string }

func (r *refusal) Error() string { return r.reason }

var errNoServer = &refusal{"the game server is not there any more, or not for this match"}

// load reads the game server of a match. The error is a refusal if there is none that may
// be filled up.
func (f *Filler) load(ctx context.Context, namespace, match string, anew bool, own func(servers.Server) bool) (*task, error) {
	s, err := f.find(ctx, namespace, match, anew, own)
	if err == nil && s == nil && !anew { // what was a moment ago is no answer
		s, err = f.find(ctx, namespace, match, true, own)
	}
	switch {
	case err != nil:
		return nil, err
	case s == nil:
		return nil, errNoServer
	}
	t, err := f.task(*s)
	if err != nil {
		return nil, &refusal{err.Error()}
	}
	return t, nil
}
