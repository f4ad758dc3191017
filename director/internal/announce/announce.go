// Package announce tells the frontends of assignments, so that nobody polls
// Open Match for every waiting player. It comes last on a match's way through
// the director.
package announce

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Broadcaster serves torikumi.v1.AnnouncementService. It is safe for
// concurrent use.
type Broadcaster struct {
	torikumiv1.UnimplementedAnnouncementServiceServer

	buffer      int
	subscribers prometheus.Gauge
	cutOff      prometheus.Counter

	mu     sync.Mutex
	closed bool
	subs   map[*subscription]struct{}
}

// subscription is one subscriber. When it is over, end is set and then the channel
// closed.
type subscription struct {
	queue chan *torikumiv1.Announcement
	end   error
}

var (
	errStopping = status.Error(codes.Unavailable, "the director is stopping")
	errTooSlow  = status.Error(codes.ResourceExhausted, "the subscriber is too slow: subscribe again and read the open tickets")
)

// New makes a broadcaster that keeps up to buffer announcements for a
// subscriber who does not read, and registers its metrics.
func New(buffer int, r prometheus.Registerer) *Broadcaster {
	f := promauto.With(r)
	return &Broadcaster{
		buffer: buffer, subs: make(map[*subscription]struct{}),
		subscribers: f.NewGauge(prometheus.GaugeOpts{Name: "torikumi_director_announcement_subscribers",
			Help: "Subscribers to the announcements."}),
		cutOff: f.NewCounter(prometheus.CounterOpts{Name: "torikumi_director_announcement_cut_offs_total",
			Help: "Subscribers that were cut off because they were too slow."}),
	}
}

// Publish hands an announcement to all who are subscribed now. It never
// blocks: who has no room for it is cut off.
func (b *Broadcaster) Publish(a *torikumiv1.Announcement) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.subs {
		select {
		case s.queue <- a:
		default:
			b.cutOff.Inc()
			b.remove(s, errTooSlow)
		}
	}
}

// Close ends all subscriptions, once they have sent what they have, and takes
// no more.
func (b *Broadcaster) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for s := range b.subs {
		b.remove(s, errStopping)
	}
}

// remove needs the lock.
func (b *Broadcaster) remove(s *subscription, end error) {
	if _, ok := b.subs[s]; !ok {
		return
	}
	delete(b.subs, s)
	s.end = end
	close(s.queue)
	b.subscribers.Dec()
}

func (b *Broadcaster) add() (*subscription, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, false
	}
	s := &subscription{queue: make(chan *torikumiv1.Announcement, b.buffer)}
	b.subs[s] = struct{}{}
	b.subscribers.Inc()
	return s, true
}

// Subscribe streams the announcements from now on.
func (b *Broadcaster) Subscribe(_ *torikumiv1.SubscribeRequest, stream grpc.ServerStreamingServer[torikumiv1.Announcement]) error {
	s, ok := b.add()
	if !ok {
		return errStopping
	}
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.remove(s, nil)
	}()
	// The subscriber reads its open tickets after the headers, so they must
	// not come before the subscription stands.
	if err := stream.SendHeader(metadata.MD{}); err != nil {
		return err
	}
	for {
		select {
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		case a, open := <-s.queue:
			if !open {
				return s.end
			}
			if err := stream.Send(a); err != nil {
				return err
			}
		}
	}
}
