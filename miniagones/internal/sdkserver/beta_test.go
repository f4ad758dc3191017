package sdkserver

import (
	"context"
	"testing"

	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"torikumi/miniagones/internal/counts"
	betapb "torikumi/proto/agones/sdk/beta"
)

// counting is a server that counts its changes.
type counting struct {
	GameServer
	has     counts.Set
	changes int
}

func (c *counting) Counts(_ context.Context, change func(counts.Set) (counts.Set, bool)) error {
	next, changed := change(c.has)
	if changed {
		c.has = next
		c.changes++
	}
	return nil
}

// TestSameIsNoChange: what is there already is not written again; whoever watches the server
// would hear of it, and may say it again for that.
func TestSameIsNoChange(t *testing.T) {
	s := &counting{has: counts.Set{Counters: map[string]counts.Counter{"players": {Capacity: 5}}, Lists: map[string]counts.List{"ids": {Capacity: 5}}}}
	b := &beta{service: &service{server: s}}
	for i, values := range [][]string{{"ann", "bob"}, {"ann", "bob"}, {"bob"}, {"bob"}} {
		counter, err := b.UpdateCounter(t.Context(), &betapb.UpdateCounterRequest{
			CounterUpdateRequest: &betapb.CounterUpdateRequest{Name: "players", Count: wrapperspb.Int64(int64(len(values)))},
		})
		if err != nil || counter.GetCount() != int64(len(values)) {
			t.Errorf("counter: %v, %v", counter, err)
		}
		list, err := b.UpdateList(t.Context(), &betapb.UpdateListRequest{
			List: &betapb.List{Name: "ids", Values: values}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"values"}},
		})
		if err != nil || len(list.GetValues()) != len(values) {
			t.Errorf("list: %v, %v", list, err)
		}
		if want := 2 * (i/2 + 1); s.changes != want {
			t.Errorf("%d changes after call %d, want %d", s.changes, i, want)
		}
	}
}
