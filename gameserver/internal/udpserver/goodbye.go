package udpserver

import (
	"hash/maphash"
	"net/netip"
	"time"
)

// goodbye is the last word to an address, repeated while something comes from
// it because the word may have been lost.
type goodbye struct {
	addr  netip.AddrPort
	word  []byte
	token digest
	// final: the word is the answer to a JOIN with the token.
	final bool
	until time.Time
}

// goodbyes are those of the last maxGoodbyes addresses. The zero value is
// empty.
type goodbyes struct {
	by   map[netip.AddrPort]*goodbye
	line []*goodbye // in the order of until
}

func (f *goodbyes) add(w goodbye) {
	if f.by == nil {
		f.by = map[netip.AddrPort]*goodbye{}
	}
	if len(f.line) >= maxGoodbyes {
		f.drop()
	}
	f.by[w.addr] = &w
	f.line = append(f.line, &w)
}

func (f *goodbyes) expire(now time.Time) {
	for len(f.line) > 0 && !f.line[0].until.After(now) {
		f.drop()
	}
}

// drop takes the oldest away.
func (f *goodbyes) drop() {
	w := f.line[0]
	f.line[0] = nil
	f.line = f.line[1:]
	if f.by[w.addr] == w {
		delete(f.by, w.addr)
	}
}

// limiter counts what comes from an IP address in a second, in a table of fixed
// size: addresses that share a place share its share.
type limiter struct {
	rate  int
	seed  maphash.Seed
	place []window
}

type window struct {
	second int64
	count  int
}

const limiterPlaces = 4096

func newLimiter(rate int) limiter {
	return limiter{rate: rate, seed: maphash.MakeSeed(), place: make([]window, limiterPlaces)}
}

func (l *limiter) allow(ip netip.Addr, now time.Time) bool {
	w := &l.place[maphash.Comparable(l.seed, ip)%limiterPlaces]
	if s := now.Unix(); w.second != s {
		*w = window{second: s}
	}
	w.count++
	return w.count <= l.rate
}
