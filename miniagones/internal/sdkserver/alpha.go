package sdkserver

import (
	"context"
	"slices"

	"torikumi/miniagones/internal/counts"
	alphapb "torikumi/proto/agones/sdk/alpha"
)

// alpha is the part of Agones's SDK with the players of one server.
type alpha struct {
	alphapb.UnimplementedSDKServer
	service *service
	// off refuses all, as Agones does without its feature PlayerTracking.
	off bool
}

func (a *alpha) PlayerConnect(ctx context.Context, id *alphapb.PlayerID) (*alphapb.Bool, error) {
	came := false
	err := a.change(ctx, func(p counts.Players) (counts.Players, error) {
		if came = !slices.Contains(p.IDs, id.GetPlayerID()); !came {
			return p, nil
		}
		if int64(len(p.IDs)) >= p.Capacity {
			return p, wrong("players are already at capacity")
		}
		p.IDs = append(slices.Clone(p.IDs), id.GetPlayerID())
		return p, nil
	})
	return answer(&alphapb.Bool{Bool: came}, err)
}

func (a *alpha) PlayerDisconnect(ctx context.Context, id *alphapb.PlayerID) (*alphapb.Bool, error) {
	left := false
	err := a.change(ctx, func(p counts.Players) (counts.Players, error) {
		i := slices.Index(p.IDs, id.GetPlayerID())
		if left = i >= 0; left {
			p.IDs = slices.Delete(slices.Clone(p.IDs), i, i+1)
		}
		return p, nil
	})
	return answer(&alphapb.Bool{Bool: left}, err)
}

// SetPlayerCapacity keeps whoever is there, if they are more.
func (a *alpha) SetPlayerCapacity(ctx context.Context, to *alphapb.Count) (*alphapb.Empty, error) {
	err := a.change(ctx, func(p counts.Players) (counts.Players, error) {
		p.Capacity = to.GetCount()
		return p, nil
	})
	return answer(&alphapb.Empty{}, err)
}

func (a *alpha) GetPlayerCapacity(ctx context.Context, _ *alphapb.Empty) (*alphapb.Count, error) {
	p, err := a.players(ctx)
	return answer(&alphapb.Count{Count: p.Capacity}, err)
}

func (a *alpha) GetPlayerCount(ctx context.Context, _ *alphapb.Empty) (*alphapb.Count, error) {
	p, err := a.players(ctx)
	return answer(&alphapb.Count{Count: int64(len(p.IDs))}, err)
}

func (a *alpha) IsPlayerConnected(ctx context.Context, id *alphapb.PlayerID) (*alphapb.Bool, error) {
	p, err := a.players(ctx)
	return answer(&alphapb.Bool{Bool: slices.Contains(p.IDs, id.GetPlayerID())}, err)
}

func (a *alpha) GetConnectedPlayers(ctx context.Context, _ *alphapb.Empty) (*alphapb.PlayerIDList, error) {
	p, err := a.players(ctx)
	return answer(&alphapb.PlayerIDList{List: p.IDs}, err)
}

func answer[M any](m *M, err error) (*M, error) {
	if err != nil {
		return nil, err
	}
	return m, nil
}

// players returns the server's.
func (a *alpha) players(ctx context.Context) (p counts.Players, err error) {
	err = a.change(ctx, func(now counts.Players) (counts.Players, error) {
		p = now
		return now, nil
	})
	return p, err
}

// change changes the players, if that makes a difference. Errors of f, which may be
// called several times, are statuses.
func (a *alpha) change(ctx context.Context, f func(counts.Players) (counts.Players, error)) error {
	if a.off {
		return wrong("PlayerTracking not enabled")
	}
	var failed error
	err := a.service.server.Counts(ctx, func(s counts.Set) (counts.Set, bool) {
		var now, next counts.Players
		if s.Players != nil {
			now = *s.Players
		}
		if next, failed = f(now); failed != nil || (next.Capacity == now.Capacity && slices.Equal(next.IDs, now.IDs)) {
			return s, false
		}
		s.Players = &next
		return s, true
	})
	if err != nil {
		return a.service.status(err)
	}
	return failed
}
