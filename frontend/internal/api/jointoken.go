package api

import (
	"context"
	"time"

	"torikumi/frontend/internal/ratelimit"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// tellTokenFor is for how long a join token is told again to one who asks for more than they may
// have: longer than MintInterval.
const tellTokenFor = 2 * MintInterval

// joinTokens are those that are told to players who ask where they play, as often as they like:
// new ones, as each is good for one connection, up to as many as a player may ask for by
// themselves besides; then the last one again, but not when half of its life is over. They are safe
// for concurrent use.
type joinTokens struct {
	limit *ratelimit.Limiter
	told  *recent[toldToken]
}

// toldToken is a token that is told until then.
type toldToken struct {
	token *torikumiv1.JoinToken
	until time.Time
}

func newJoinTokens() *joinTokens {
	return &joinTokens{limit: ratelimit.New(MintInterval, MintBurst, nil), told: newRecent[toldToken](tellTokenFor)}
}

// get returns a token of a player of a ticket that it has made, or the last one, or why there is
// none.
func (j *joinTokens) get(id, player string, mint func() (token *torikumiv1.JoinToken, reason string)) (token *torikumiv1.JoinToken, reason string) {
	key, now := id+" "+player, time.Now()
	if ok, _ := j.limit.Allow(context.Background(), player); !ok {
		if last, ok := j.told.get(key); ok && now.Before(last.until) {
			return last.token, ""
		}
		return nil, tooManyTokens
	}
	if token, reason = mint(); token != nil {
		j.told.put(key, toldToken{token, now.Add(token.GetExpireTime().AsTime().Sub(now) / 2)})
	}
	return token, reason
}
