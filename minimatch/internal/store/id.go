package store

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"sync/atomic"
	"time"
)

// idAlphabet keeps the order of the bytes, so that later ids sort later.
const idAlphabet = "0123456789abcdefghijklmnopqrstuv"

// ids makes ticket ids in the shape of Open Match's: 20 characters, for 4 bytes
// of Unix seconds, 5 that are random per process and a counter of 3. The
// counter also starts at random and would have to pass 16 million within a
// second for an id to come back.
type ids struct {
	encoding *base32.Encoding
	process  [5]byte
	counter  atomic.Uint32
}

func newIDs() *ids {
	g := &ids{encoding: base32.NewEncoding(idAlphabet).WithPadding(base32.NoPadding)}
	var seed [4]byte
	// crypto/rand.Read does not fail: it ends the process when it cannot serve.
	_, _ = rand.Read(g.process[:])
	_, _ = rand.Read(seed[:])
	g.counter.Store(binary.BigEndian.Uint32(seed[:]))
	return g
}

func (g *ids) next(now time.Time) string {
	var raw [12]byte
	binary.BigEndian.PutUint32(raw[:4], uint32(now.Unix()))
	copy(raw[4:9], g.process[:])
	n := g.counter.Add(1)
	raw[9], raw[10], raw[11] = byte(n>>16), byte(n>>8), byte(n)
	return g.encoding.EncodeToString(raw[:])
}
