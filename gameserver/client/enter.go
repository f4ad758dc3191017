package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"torikumi/pkg/rpc"
	"torikumi/pkg/token"
)

// Tokens are dated in whole seconds: all tries of Enter together take longer
// than one.
const (
	newTokens  = 5
	tokenPause = 300 * time.Millisecond
)

// Joiner is a Client, as far as Enter needs one.
type Joiner interface {
	Join(ctx context.Context, raw string) (Welcome, error)
}

// Enter joins as an honest game client does: it tries again where the server
// says that this may help, and with a new token where the server wants one: a
// gate that first saw its server with the match takes none that is as old as
// itself, and none that was used, as by a try whose answer was lost, or is over. renew asks the frontend for a token; nil: there is no other. The
// errors are those of Join and of renew.
func Enter(ctx context.Context, c Joiner, raw string, renew func(context.Context) (string, error)) (Welcome, error) {
	for tries := 0; ; tries++ {
		welcome, err := c.Join(ctx, raw)
		var refused *RefusedError
		old := errors.As(err, &refused) && (&token.Refusal{Reason: refused.Reason}).Renewable() && renew != nil
		if err == nil || tries == newTokens || !old && (refused == nil || !refused.Retryable) {
			return welcome, err
		}
		if err := rpc.Sleep(ctx, tokenPause); err != nil {
			return welcome, err
		}
		if !old {
			continue
		}
		if raw, err = renew(ctx); err != nil {
			return welcome, fmt.Errorf("a new token: %w", err)
		}
	}
}
