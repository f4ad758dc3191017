package announce

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	torikumiv1 "torikumi/proto/torikumi/v1"
)

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
