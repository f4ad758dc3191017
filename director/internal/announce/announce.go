// Package announce tells the frontends of assignments, so that nobody polls
// Open Match for every waiting player. It comes last on a match's way through
// the director. The latest announcements are remembered for frontends that were
// not connected for a moment, or have just found this director.
package announce

import (
	"crypto/rand"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

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
	// instance begins the positions, so that those of another director mean
	// nothing here.
	instance string

	mu     sync.Mutex
	closed bool
	subs   map[*subscription]struct{}
	// recent are the latest announcements, the oldest first; published counts all.
	recent    []published
	published uint64
}

// published is an announcement that is remembered.
type published struct {
	*torikumiv1.Announcement
	at time.Time
}

// remembered is how long an announcement is repeated to those who subscribe: longer
// than it takes them to find a new director and to come back to an old one.
const remembered = 30 * time.Second

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
// subscriber who does not read and for those who will subscribe, and registers its
// metrics.
func New(buffer int, r prometheus.Registerer) *Broadcaster {
	f := promauto.With(r)
	return &Broadcaster{
		buffer: buffer, instance: rand.Text(), subs: make(map[*subscription]struct{}),
		subscribers: f.NewGauge(prometheus.GaugeOpts{Name: "torikumi_director_announcement_subscribers",
			Help: "Subscribers to the announcements."}),
		cutOff: f.NewCounter(prometheus.CounterOpts{Name: "torikumi_director_announcement_cut_offs_total",
			Help: "Subscribers that were cut off because they were too slow."}),
	}
}

// Publish sets the position of an announcement, which is not changed after that,
// and hands it to all who are subscribed now. It never blocks: who has no room for
// it is cut off.
func (b *Broadcaster) Publish(a *torikumiv1.Announcement) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.published++
	b.forget(b.buffer - 1)
	b.recent = append(b.recent, published{Announcement: a, at: time.Now()})
	b.hand(a)
}

// hand gives an announcement to all, with the position of what is remembered. It needs the
// lock.
func (b *Broadcaster) hand(a *torikumiv1.Announcement) {
	a.Position = b.instance + "-" + strconv.FormatUint(b.published, 10)
	for s := range b.subs {
		select {
		case s.queue <- a:
		default:
			b.cutOff.Inc()
			b.remove(s, errTooSlow)
		}
	}
}

// Send is Publish for what is not remembered, as its publisher repeats it.
func (b *Broadcaster) Send(a *torikumiv1.Announcement) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hand(a)
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

// add begins a subscription, and returns what comes before it: what is remembered
// after a position.
func (b *Broadcaster) add(after string) (s *subscription, missed []published, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, nil, false
	}
	b.forget(b.buffer)
	missed = slices.Clone(b.recent[len(b.recent)-b.since(after):])
	s = &subscription{queue: make(chan *torikumiv1.Announcement, b.buffer)}
	b.subs[s] = struct{}{}
	b.subscribers.Inc()
	return s, missed, true
}

// since returns how many of the announcements that are remembered come after a
// position: all, if it is none of ours. It needs the lock.
func (b *Broadcaster) since(position string) int {
	instance, number, _ := strings.Cut(position, "-")
	n, err := strconv.ParseUint(number, 10, 64)
	if instance != b.instance || err != nil || n > b.published {
		return len(b.recent)
	}
	return int(min(b.published-n, uint64(len(b.recent))))
}

// forget drops what is too old, and the oldest beyond a number. It needs the lock.
func (b *Broadcaster) forget(most int) {
	n, limit := max(len(b.recent)-most, 0), time.Now().Add(-remembered)
	for n < len(b.recent) && b.recent[n].at.Before(limit) {
		n++
	}
	clear(b.recent[:n])
	b.recent = b.recent[n:]
}

// Subscribe streams the announcements that the subscriber has missed, as far as they
// are remembered, and those from now on.
func (b *Broadcaster) Subscribe(req *torikumiv1.SubscribeRequest, stream grpc.ServerStreamingServer[torikumiv1.Announcement]) error {
	s, missed, ok := b.add(req.GetAfter())
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
	for _, a := range missed {
		if err := stream.Send(a.Announcement); err != nil {
			return err
		}
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
