package sdkserver

import (
	"context"
	"maps"
	"math"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/miniagones/internal/counts"
	betapb "torikumi/proto/agones/sdk/beta"
)

// beta is the part of Agones's SDK with counters and lists, for one server. Changes
// are in force when the call is answered, where Agones collects them for a second.
type beta struct {
	betapb.UnimplementedSDKServer
	service *service
}

func (b *beta) GetCounter(ctx context.Context, req *betapb.GetCounterRequest) (*betapb.Counter, error) {
	return b.counter(ctx, req.GetName(), nil)
}

// UpdateCounter does all of what the request has: first the capacity, then the count, then
// the difference.
func (b *beta) UpdateCounter(ctx context.Context, req *betapb.UpdateCounterRequest) (*betapb.Counter, error) {
	r := req.GetCounterUpdateRequest()
	if r.GetCountDiff() == 0 && r.GetCount() == nil && r.GetCapacity() == nil {
		return nil, wrong("invalid argument. counterUpdateRequest: must have countDiff, count or capacity")
	}
	return b.counter(ctx, r.GetName(), func(c counts.Counter) (counts.Counter, error) {
		if r.GetCapacity() != nil {
			if c.Capacity = r.GetCapacity().GetValue(); c.Capacity < 0 {
				return c, wrong("out of range. counter %q: the capacity must not be negative", r.GetName())
			}
			c.Count = min(c.Count, c.Capacity)
		}
		if r.GetCount() != nil {
			c.Count = r.GetCount().GetValue()
		}
		diff := r.GetCountDiff()
		tooMuch := diff > 0 && c.Count > math.MaxInt64-diff
		if c.Count += diff; tooMuch || c.Count < 0 || c.Count > c.Capacity {
			return c, wrong("out of range. counter %q: the count must be from 0 to the capacity, %d", r.GetName(), c.Capacity)
		}
		return c, nil
	})
}

// wrong is the error for what cannot be done. Agones has one code for all, Unknown, which
// is 500 over REST; its texts begin with these words.
func wrong(format string, args ...any) error { return status.Errorf(codes.Unknown, format, args...) }

// counter changes a counter, unless f is nil, and returns it.
func (b *beta) counter(ctx context.Context, name string, f func(counts.Counter) (counts.Counter, error)) (*betapb.Counter, error) {
	c, err := change(ctx, b, "counter", name, func(s *counts.Set) *map[string]counts.Counter { return &s.Counters }, f, counts.Counter.Same)
	if err != nil {
		return nil, err
	}
	return &betapb.Counter{Name: name, Count: c.Count, Capacity: c.Capacity}, nil
}

func (b *beta) GetList(ctx context.Context, req *betapb.GetListRequest) (*betapb.List, error) {
	return b.list(ctx, req.GetName(), nil)
}

func (b *beta) UpdateList(ctx context.Context, req *betapb.UpdateListRequest) (*betapb.List, error) {
	from, paths := req.GetList(), req.GetUpdateMask().GetPaths()
	for _, path := range paths {
		if path != "capacity" && path != "values" {
			return nil, wrong("invalid argument. update_mask: must name capacity and values, not %q", path)
		}
	}
	if len(paths) == 0 {
		return nil, wrong("invalid argument. update_mask: required")
	}
	if c := from.GetCapacity(); slices.Contains(paths, "capacity") && (c < 0 || c > counts.MaxList) {
		return nil, wrong("out of range. list %q: the capacity must be from 0 to %d", from.GetName(), counts.MaxList)
	}
	return b.list(ctx, from.GetName(), func(l counts.List) (counts.List, error) {
		do := counts.ListAction{}
		if slices.Contains(paths, "capacity") {
			do.Capacity = &from.Capacity
		}
		if slices.Contains(paths, "values") {
			do.DeleteValues, do.AddValues = l.Values, from.GetValues()
		}
		return do.Apply(l), nil
	})
}

func (b *beta) AddListValue(ctx context.Context, req *betapb.AddListValueRequest) (*betapb.List, error) {
	return b.list(ctx, req.GetName(), func(l counts.List) (counts.List, error) {
		switch {
		case int64(len(l.Values)) >= l.Capacity:
			return l, wrong("out of range. list %q is full", req.GetName())
		case slices.Contains(l.Values, req.GetValue()):
			return l, wrong("already exists. list %q has %q", req.GetName(), req.GetValue())
		}
		l.Values = append(slices.Clone(l.Values), req.GetValue())
		return l, nil
	})
}

func (b *beta) RemoveListValue(ctx context.Context, req *betapb.RemoveListValueRequest) (*betapb.List, error) {
	return b.list(ctx, req.GetName(), func(l counts.List) (counts.List, error) {
		i := slices.Index(l.Values, req.GetValue())
		if i < 0 {
			return l, wrong("not found. list %q has no %q", req.GetName(), req.GetValue())
		}
		l.Values = slices.Delete(slices.Clone(l.Values), i, i+1)
		return l, nil
	})
}

// list changes a list, unless f is nil, and returns it.
func (b *beta) list(ctx context.Context, name string, f func(counts.List) (counts.List, error)) (*betapb.List, error) {
	l, err := change(ctx, b, "list", name, func(s *counts.Set) *map[string]counts.List { return &s.Lists }, f, counts.List.Same)
	if err != nil {
		return nil, err
	}
	return &betapb.List{Name: name, Capacity: l.Capacity, Values: l.Values}, nil
}

// change changes a counter or a list of the server, unless f is nil, and returns it.
// Errors of f, which may be called several times, are statuses. What is the same afterwards
// is no change, of which others would be told.
func change[V any](
	ctx context.Context, b *beta, kind, name string, of func(*counts.Set) *map[string]V, f func(V) (V, error), same func(V, V) bool,
) (V, error) {
	var v V
	var failed error
	err := b.service.server.Counts(ctx, func(s counts.Set) (counts.Set, bool) {
		all := of(&s)
		var ok bool
		if v, ok = (*all)[name]; !ok {
			failed = wrong("not found. no %s %q", kind, name)
			return s, false
		}
		if failed = nil; f == nil {
			return s, false
		}
		before := v
		if v, failed = f(v); failed != nil || same(before, v) {
			return s, false
		}
		*all = maps.Clone(*all) // a Set's maps are shared
		(*all)[name] = v
		return s, true
	})
	if err != nil {
		return v, b.service.status(err)
	}
	return v, failed
}
