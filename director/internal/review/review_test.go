package review

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	torikumiv1 "torikumi/proto/torikumi/v1"
)

// asked is a Reviewer that counts.
type asked struct {
	mu    sync.Mutex
	calls int
	err   error
}

func (a *asked) Review(_ context.Context, token string) (Identity, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls++
	if a.err != nil {
		return Identity{}, a.err
	}
	return Identity{Namespace: "games", Name: token}, nil
}

func TestCache(t *testing.T) {
	away := errors.New("away")
	for _, c := range []struct {
		name  string
		err   error
		after time.Duration
		calls int
	}{
		{"a token that counts, soon after", nil, 59 * time.Second, 1},
		{"a token that counts, later", nil, 61 * time.Second, 2},
		{"a token that does not, at once", ErrRefused, time.Second, 1},
		{"a token that does not, later", ErrRefused, 3 * time.Second, 2},
		{"nobody to ask", away, 0, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				from := &asked{err: c.err}
				r := NewCached(from)
				for i := range 2 {
					of, err := r.Review(t.Context(), "gs")
					if !errors.Is(err, c.err) || err == nil && of.Name != "gs" {
						t.Errorf("%v, %v", of, err)
					}
					if i == 0 {
						time.Sleep(c.after) // of the bubble's clock
					}
				}
				if from.calls != c.calls {
					t.Errorf("asked %d times, want %d", from.calls, c.calls)
				}
				if of, err := r.Review(t.Context(), "other"); c.err == nil && (err != nil || of.Name != "other") {
					t.Errorf("another token: %v, %v", of, err)
				}
			})
		})
	}
}

// TestCacheIsBounded: who sends many tokens does not fill the memory.
func TestCacheIsBounded(t *testing.T) {
	from := &asked{err: ErrRefused}
	c := newCached(from, func() time.Time { return time.Unix(1000, 0) }) // nothing gets old
	for i := range mostCached + 100 {
		_, _ = c.Review(t.Context(), fmt.Sprint(i)) // refused
	}
	if len(c.answers) != mostCached || from.calls != mostCached+100 {
		t.Errorf("%d are kept, %d were asked for", len(c.answers), from.calls)
	}
}

func TestClusters(t *testing.T) {
	away := errors.New("away")
	for _, c := range []struct {
		name    string
		list    Clusters
		cluster string
		err     error
	}{
		{"the second knows it", Clusters{{"a", &asked{err: ErrRefused}}, {"b", &asked{}}}, "b", nil},
		{"the first is away", Clusters{{"a", &asked{err: away}}, {"b", &asked{}}}, "b", nil},
		{"nobody knows it", Clusters{{"a", &asked{err: ErrRefused}}, {"b", &asked{err: ErrRefused}}}, "", ErrRefused},
		{"who is away may know it", Clusters{{"a", &asked{err: away}}, {"b", &asked{err: ErrRefused}}}, "", away},
	} {
		t.Run(c.name, func(t *testing.T) {
			of, err := c.list.Review(t.Context(), "gs")
			if of.Cluster != c.cluster || !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
				t.Errorf("%v, %v", of, err)
			}
		})
	}
}

// answering is a connection on which every call has one answer.
type answering struct{ err error }

func (a answering) Invoke(_ context.Context, _ string, _, reply any, _ ...grpc.CallOption) error {
	r := reply.(*torikumiv1.ReviewTokenResponse)
	r.Namespace, r.Name = "games", "gs"
	return a.err
}

func (a answering) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, a.err
}

func TestRemote(t *testing.T) {
	if of, err := NewRemote(answering{}).Review(t.Context(), "x"); err != nil || of != (Identity{Namespace: "games", Name: "gs"}) {
		t.Errorf("%v, %v", of, err)
	}
	for code, refused := range map[codes.Code]bool{codes.Unauthenticated: true, codes.Unavailable: false, codes.Unimplemented: false} {
		_, err := NewRemote(answering{status.Error(code, "so")}).Review(t.Context(), "x")
		if err == nil || errors.Is(err, ErrRefused) != refused {
			t.Errorf("%v: %v", code, err)
		}
	}
}
