package matchmaker

import (
	"testing"
	"time"

	"google.golang.org/grpc/backoff"

	"torikumi/pkg/rpc"
)

// TestSubscribedAgainInTime: docs/frontend.md promises that a lost director is subscribed
// to again within 2 s of being there again: that is the longest pause of the connection,
// with its jitter, and the longest of ours. Names are looked up within that time too.
func TestSubscribedAgainInTime(t *testing.T) {
	const promised = 2 * time.Second
	longest := time.Duration(float64(connectPause) * (1 + backoff.DefaultConfig.Jitter))
	pause := rpc.Backoff{Min: 50 * time.Millisecond, Max: subscribePause}
	ours := time.Duration(0)
	for range 1000 {
		ours = max(ours, pause.Next())
	}
	if longest+ours > promised || ours > subscribePause || lookUpEvery > promised {
		t.Errorf("the connection waits for %v, then we for %v, and names for %v", longest, ours, lookUpEvery)
	}
}
