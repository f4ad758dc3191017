// Package review tells which game server a caller's token was given to: that of its gate.
// In a cluster the API server looks at the token (TokenReview), on one machine miniagones.
package review

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Audience is that of the tokens: no token that was made for somebody else counts.
const Audience = "torikumi-director"

// Identity is a game server, by its pod.
type Identity struct {
	// Cluster is empty if there is one.
	Cluster         string
	Namespace, Name string
}

// Reviewer looks at tokens. It is safe for concurrent use.
type Reviewer interface {
	// Review returns whose token it is. The error is ErrRefused if it is none of a pod
	// for Audience, and another if that cannot be told.
	Review(ctx context.Context, token string) (Identity, error)
}

// ErrRefused says that a token counts for nothing.
var ErrRefused = errors.New("token refused")

// remote is a Reviewer over torikumi.v1.GameServerService.
type remote struct {
	client torikumiv1.GameServerServiceClient
}

// NewRemote makes the Reviewer that a torikumi.v1.GameServerService serves.
func NewRemote(conn grpc.ClientConnInterface) Reviewer {
	return remote{torikumiv1.NewGameServerServiceClient(conn)}
}

func (r remote) Review(ctx context.Context, token string) (Identity, error) {
	resp, err := r.client.ReviewToken(ctx, &torikumiv1.ReviewTokenRequest{Token: token})
	switch {
	case status.Code(err) == codes.Unauthenticated:
		return Identity{}, ErrRefused
	case err != nil:
		return Identity{}, fmt.Errorf("review token: %w", err)
	}
	return Identity{Namespace: resp.GetNamespace(), Name: resp.GetName()}, nil
}
