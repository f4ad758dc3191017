package announce

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	torikumiv1 "torikumi/proto/torikumi/v1"
)

// TestSent: what is not remembered reaches who is subscribed, and leaves their position as
// it is.
func TestSent(t *testing.T) {
	b := New(10, prometheus.NewRegistry())
	s, _, _ := b.add("")
	first, sent := new(torikumiv1.Announcement), new(torikumiv1.Announcement)
	b.Publish(first)
	b.Send(sent)
	if got := []*torikumiv1.Announcement{<-s.queue, <-s.queue}; got[0] != first || got[1] != sent || sent.GetPosition() != first.GetPosition() {
		t.Errorf("heard %v", got)
	}
	if _, missed, _ := b.add(sent.GetPosition()); len(missed) != 0 {
		t.Errorf("repeated: %v", missed)
	}
	if _, missed, _ := b.add(""); len(missed) != 1 {
		t.Errorf("remembered: %v", missed)
	}
}

// TestForget: what is old is not repeated, although there is room for it.
func TestForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(10, prometheus.NewRegistry())
		missed := func() int {
			s, missed, _ := b.add("")
			b.remove(s, nil)
			return len(missed)
		}
		b.Publish(new(torikumiv1.Announcement))
		time.Sleep(20 * time.Second)
		b.Publish(new(torikumiv1.Announcement))
		for _, c := range []struct {
			pass time.Duration
			want int
		}{{0, 2}, {remembered - 20*time.Second, 2}, {time.Second, 1}, {20 * time.Second, 0}} {
			time.Sleep(c.pass)
			if got := missed(); got != c.want {
				t.Errorf("%v later %d are repeated, want %d", c.pass, got, c.want)
			}
		}
	})
}
