// Package echo answers the datagrams by which clients measure their latency to a
// region, and nothing else. Before a player presses Play it is what their latencies come from.
//
// A request is as long as its answer, so that nobody gets more out of it than they put
// in, and an answer is no request, so that no two beacons can be made to talk to each
// other. Whatever is no request is dropped without a word.
package echo

import "bytes"

const (
	// Size of a request and of its answer in bytes: eight that say what it is, then
	// the nonce.
	Size = 24
	// NonceSize is that of the client's own bytes, by which it knows the answer.
	NonceSize = 16

	request = "torikuQ1"
	answer  = "torikuA1"
)

// Request writes the request with a nonce.
func Request(nonce [NonceSize]byte) []byte { return append([]byte(request), nonce[:]...) }

// Answers reports whether a datagram is the answer to the request with a nonce.
func Answers(datagram []byte, nonce [NonceSize]byte) bool {
	return len(datagram) == Size && string(datagram[:len(answer)]) == answer && bytes.Equal(datagram[len(answer):], nonce[:])
}

// reply turns a request into its answer, in place. It returns false, and changes nothing,
// for anything else.
func reply(datagram []byte) bool {
	if len(datagram) != Size || string(datagram[:len(request)]) != request {
		return false
	}
	copy(datagram, answer)
	return true
}
