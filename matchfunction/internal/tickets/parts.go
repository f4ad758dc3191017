package tickets

import (
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/proto/openmatch"
)

const (
	// shortestPart is the shortest time of creation that is read by itself: a
	// page that is too large even so is left out.
	shortestPart = time.Millisecond
	// firstPart is how old the tickets are where a pool is divided first; the
	// parts before that double.
	firstPart = 10 * time.Second
	// oldestPart is how old tickets may be for their part to be divided again.
	oldestPart = 100 * 365 * 24 * time.Hour
)

// readParts reads a pool. Open Match cuts pages by the number of tickets alone,
// so that a page may be too large for one message; the pool is read in parts
// then, by the time of creation.
func readParts[T any](r *Reader, p *openmatch.Pool, read func(*openmatch.Pool) ([]T, error)) ([]T, error) {
	all, err := read(p)
	if !tooLarge(err) {
		return all, err
	}
	d := &division[T]{read: func(from, to time.Time) ([]T, error) { return read(between(p, from, to)) }, now: r.Now()}
	if err := d.split(time.Time{}, time.Time{}); err != nil {
		return nil, err
	}
	if r.TooLarge != nil {
		r.TooLarge(p, !d.lost)
	}
	return d.all, nil
}

// division reads a pool in parts.
type division[T any] struct {
	read func(from, to time.Time) ([]T, error)
	now  time.Time
	all  []T
	// lost reports whether a part could not be read.
	lost bool
}

// part reads what was created from one time on and before another.
func (d *division[T]) part(from, to time.Time) error {
	some, err := d.read(from, to)
	if tooLarge(err) {
		return d.split(from, to)
	}
	d.all = append(d.all, some...)
	return err
}

// split reads a part as two, if it is long enough.
func (d *division[T]) split(from, to time.Time) error {
	middle, ok := middleOf(from, to, d.now)
	if !ok {
		d.lost = true
		return nil
	}
	if err := d.part(from, middle); err != nil {
		return err
	}
	return d.part(middle, to)
}

// middleOf is where a part is divided; the zero time is no bound. It is not ok
// if the part is as short as can be, or too old.
func middleOf(from, to, now time.Time) (middle time.Time, ok bool) {
	switch {
	case from.IsZero() && to.IsZero():
		return now.Add(-firstPart), true
	case to.IsZero(): // clocks that are ahead
		return from.Add(max(firstPart, 2*from.Sub(now))), from.Before(now.Add(oldestPart))
	case from.IsZero():
		return to.Add(-max(firstPart, now.Sub(to))), to.After(now.Add(-oldestPart))
	}
	return from.Add(to.Sub(from) / 2), to.Sub(from) > shortestPart
}

// between is the part of a pool that was created from one time on and before
// another: parts meet without a gap, as both bounds of a pool are exclusive.
func between(p *openmatch.Pool, from, to time.Time) *openmatch.Pool {
	part := proto.CloneOf(p)
	if after := from.Add(-1); !from.IsZero() && (p.GetCreatedAfter() == nil || p.GetCreatedAfter().AsTime().Before(after)) {
		part.CreatedAfter = timestamppb.New(after)
	}
	if !to.IsZero() && (p.GetCreatedBefore() == nil || p.GetCreatedBefore().AsTime().After(to)) {
		part.CreatedBefore = timestamppb.New(to)
	}
	return part
}

// tooLarge reports whether a message was larger than one side takes: gRPC has no
// code for that alone.
func tooLarge(err error) bool {
	return status.Code(err) == codes.ResourceExhausted && strings.Contains(status.Convert(err).Message(), "larger than max")
}
