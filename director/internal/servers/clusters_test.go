package servers_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"torikumi/director/internal/call"
	"torikumi/director/internal/servers"
)

// stock are the game servers of a cluster.
type stock struct {
	name   string
	away   error
	unseen bool
	calls  []string
}

func (s *stock) List(context.Context, string, map[string]string) ([]servers.Server, error) {
	s.calls = append(s.calls, "list")
	if s.away != nil {
		return nil, s.away
	}
	return []servers.Server{{Namespace: "n", Name: "gs", UID: s.name}}, nil
}

func (s *stock) Find(ctx context.Context, _, _ string) ([]servers.Server, error) {
	list, err := s.List(ctx, "", nil)
	s.calls[len(s.calls)-1] = "find"
	return list, err
}

func (s *stock) Hold(context.Context, servers.Server, servers.Selector) error {
	s.calls = append(s.calls, "hold")
	return nil
}

func (s *stock) Delete(_ context.Context, gs servers.Server) error {
	s.calls = append(s.calls, "delete")
	if gs.UID != s.name {
		return servers.ErrChanged
	}
	return nil
}

func (s *stock) Annotate(_ context.Context, gs servers.Server, _ map[string]string) (servers.Server, error) {
	s.calls = append(s.calls, "annotate")
	return servers.Server{Namespace: gs.Namespace, Name: gs.Name, UID: s.name}, nil
}

func together(stocks ...*stock) (all servers.Clusters) {
	for _, s := range stocks {
		all = append(all, servers.Cluster{
			Name: s.name, GameServers: s, Seen: func() bool { return !s.unseen }, Ready: func(context.Context) error { return s.away },
		})
	}
	return all
}

func TestClustersKeepTheirServersApart(t *testing.T) {
	a, b := &stock{name: "a"}, &stock{name: "b"}
	all := together(a, b)
	list, err := all.List(t.Context(), "n", nil)
	if err != nil || len(list) != 2 || list[0].Cluster != "a" || list[1].Cluster != "b" || list[0].Is(list[1]) {
		t.Fatal(list, err)
	}
	annotated, err := all.Annotate(t.Context(), list[1], nil)
	if err != nil || annotated.Cluster != "b" || annotated.UID != "b" {
		t.Errorf("annotated %+v, %v", annotated, err)
	}
	if err := errors.Join(all.Hold(t.Context(), list[1], servers.Selector{}), all.Delete(t.Context(), list[1])); err != nil {
		t.Error(err)
	}
	if !slices.Equal(a.calls, []string{"list"}) || !slices.Equal(b.calls, []string{"list", "annotate", "hold", "delete"}) {
		t.Errorf("a was called for %v, b for %v", a.calls, b.calls)
	}
	nowhere := servers.Server{Namespace: "n", Name: "gs", UID: "a"}
	if _, err := all.Annotate(t.Context(), nowhere, nil); err == nil {
		t.Error("a server of no cluster was annotated")
	}
	if all.Delete(t.Context(), nowhere) == nil || all.Hold(t.Context(), nowhere, servers.Selector{}) == nil {
		t.Error("a server of no cluster was found")
	}
}

// TestClusterAway: what the others have is there, and a list says that it is not all.
func TestClusterAway(t *testing.T) {
	a, b := &stock{name: "a", away: errors.New("no route"), unseen: true}, &stock{name: "b"}
	all := together(a, b)
	if list, err := all.List(t.Context(), "n", nil); err == nil || !strings.Contains(err.Error(), `cluster "a": no route`) || len(list) != 1 || list[0].Cluster != "b" {
		t.Errorf("listed %v, %v", list, err)
	}
	a.calls = nil
	if list, err := all.Find(t.Context(), "n", "m"); err != nil || len(list) != 1 || list[0].Cluster != "b" || len(a.calls) != 0 {
		t.Errorf("found %v, %v, by asking a for %v", list, err, a.calls)
	}
	if err := all.AnyReady(t.Context()); err != nil {
		t.Error(err)
	}
	b.away = errors.New("gone")
	if err := all.AnyReady(t.Context()); err == nil {
		t.Error("ready without any cluster")
	}
}

// TestReadyDoesNotWait: one cluster is enough, although another does not answer; if
// none is there, it is said which.
func TestReadyDoesNotWait(t *testing.T) {
	hangs := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	fails := func(context.Context) error { return errors.New("not seen") }
	all := servers.Clusters{{Name: "a", Ready: hangs}, {Name: "b", Ready: func(context.Context) error { return nil }}}
	if err := all.AnyReady(context.Background()); err != nil {
		t.Error(err)
	}
	all[0].Ready, all[1].Ready = fails, fails
	err := all.AnyReady(context.Background())
	for _, want := range []string{`cluster "a": not seen`, `cluster "b": not seen`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

// TestNearest: a cluster that has no server ready is passed over.
func TestNearest(t *testing.T) {
	for _, c := range []struct {
		first, second, want call.Effect
		cluster             string
	}{
		{call.Done, call.Done, call.Done, "first"},
		{call.Busy, call.Done, call.Done, "second"},
		{call.NotSent, call.Done, call.Done, "second"},
		{call.Busy, call.Busy, call.Busy, ""},
		{call.Busy, call.NotSent, call.Busy, ""},
		{call.NotSent, call.Busy, call.Busy, ""},
		{call.Busy, call.Refused, call.Busy, ""},
		{call.Refused, call.Busy, call.Busy, ""},
		{call.Busy, call.Unknown, call.Unknown, ""},
		{call.Unknown, call.Done, call.Unknown, ""},
		{call.Refused, call.Refused, call.Refused, ""},
	} {
		p := servers.NewNearest(slog.New(slog.DiscardHandler),
			servers.Named{Name: "first", Allocator: &fixed{effect: c.first}}, servers.Named{Name: "second", Allocator: &fixed{effect: c.second}})
		s, effect, err := p.Allocate(t.Context(), nil, servers.Selector{})
		if effect != c.want || (err == nil) != (effect == call.Done) || effect == call.Done && s.Cluster != c.cluster {
			t.Errorf("%v, %v: %v, %v, %v", c.first, c.second, s, effect, err)
		}
	}
}
