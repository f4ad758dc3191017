package echo

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// Limits are how many requests a second are answered.
type Limits struct {
	// Source is for those of one address, of IPv6 one /64; Total for all of them.
	Source, Total int
}

// places is how many sources are counted, in a table of fixed size: sources that share a
// place share its rate. Nobody knows who shares one, as the seed is random.
const places = 1 << 16

// limiter counts what comes in each second of the clock. It is safe for concurrent use.
type limiter struct {
	limits Limits
	seed   maphash.Seed

	mu     sync.Mutex
	source []window
	total  window
}

type window struct {
	second int64
	count  int
}

func newLimiter(l Limits) *limiter {
	return &limiter{limits: l, seed: maphash.MakeSeed(), source: make([]window, places)}
}

// allow counts a request. What its source has too many of does not count for all.
func (l *limiter) allow(from netip.Addr, now time.Time) Result {
	if from = from.Unmap(); from.Is6() {
		from = netip.PrefixFrom(from.WithZone(""), 64).Masked().Addr()
	}
	place := maphash.Comparable(l.seed, from) % places
	l.mu.Lock()
	defer l.mu.Unlock()
	switch second := now.Unix(); {
	case !l.source[place].add(second, l.limits.Source):
		return SourceLimit
	case !l.total.add(second, l.limits.Total):
		return TotalLimit
	}
	return Answered
}

func (w *window) add(second int64, limit int) bool {
	if w.second != second {
		*w = window{second: second}
	}
	if w.count >= limit {
		return false
	}
	w.count++
	return true
}
