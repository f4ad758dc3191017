package watch

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"torikumi/proto/agones/sdk/alpha"
	"torikumi/proto/agones/sdk/beta"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Track tells Agones who is in the match, where that is wanted. It may be repeated, and has
// to be after an error: some of it may have been told.
func (w *Watcher) Track(ctx context.Context, where *torikumiv1.Tracking, players []string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if name := where.GetCounter(); name != "" {
		_, err := w.o.Beta.UpdateCounter(ctx, &beta.UpdateCounterRequest{CounterUpdateRequest: &beta.CounterUpdateRequest{
			Name: name, Count: wrapperspb.Int64(int64(len(players))),
		}})
		if err != nil {
			return fmt.Errorf("counter %q: %w", name, err)
		}
	}
	if name := where.GetList(); name != "" {
		_, err := w.o.Beta.UpdateList(ctx, &beta.UpdateListRequest{
			List: &beta.List{Name: name, Values: players}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"values"}},
		})
		if err != nil {
			return fmt.Errorf("list %q: %w", name, err)
		}
	}
	if !where.GetPlayers() {
		return nil
	}
	return w.trackPlayers(ctx, players)
}

// trackPlayers has Agones's player tracking hold these players and no others.
func (w *Watcher) trackPlayers(ctx context.Context, players []string) error {
	known, err := w.o.Alpha.GetConnectedPlayers(ctx, &alpha.Empty{})
	if err != nil {
		return fmt.Errorf("player tracking: %w", err)
	}
	for _, gone := range known.GetList() {
		if slices.Contains(players, gone) {
			continue
		}
		if _, err := w.o.Alpha.PlayerDisconnect(ctx, &alpha.PlayerID{PlayerID: gone}); err != nil {
			return fmt.Errorf("player tracking: %w", err)
		}
	}
	for _, here := range players {
		if slices.Contains(known.GetList(), here) {
			continue
		}
		if _, err := w.o.Alpha.PlayerConnect(ctx, &alpha.PlayerID{PlayerID: here}); err != nil {
			return fmt.Errorf("player tracking: %w", err)
		}
	}
	return nil
}
