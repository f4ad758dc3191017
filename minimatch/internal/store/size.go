package store

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"torikumi/proto/openmatch"
)

// maxMessage is the largest message in bytes that a gRPC client takes that nobody has told to
// take more.
const maxMessage = 4 << 20

// MaxSize is the largest ticket or backfill, in bytes, without what the store adds to it: one
// that is larger would be in no page that fits into such a message, nor would its neighbours.
const MaxSize = maxMessage - 1<<10

// SizeError refuses what is too large.
type SizeError struct {
	What       string
	Most, Size int // in bytes
}

// Error implements error.
func (e *SizeError) Error() string {
	return fmt.Sprintf("%s must have at most %d bytes, got %d", e.What, e.Most, e.Size)
}

// Bounded is the SizeError of a ticket or backfill that is too large.
func Bounded(what string, m proto.Message) error {
	if size := proto.Size(m); size > MaxSize {
		return &SizeError{what, MaxSize, size}
	}
	return nil
}

// boundedBackfill is Bounded for a backfill that may have what the store adds.
func boundedBackfill(what string, b *openmatch.Backfill) error {
	given := shallowBackfill(b)
	given.Id, given.CreateTime, given.Generation = "", nil, 0
	return Bounded(what, given)
}

// assignable is the SizeError of a ticket that fits into no message with its assignment.
func assignable(field string, t *openmatch.Ticket, a *openmatch.Assignment) error {
	if size := proto.Size(assigned(t, a)); size > maxMessage {
		return &SizeError{fmt.Sprintf("%s: ticket %s with it", field, t.GetId()), maxMessage, size}
	}
	return nil
}

// sizeWithin is how many bytes m adds to the message that holds it, in a field whose number is
// below 16.
func sizeWithin(m proto.Message) int { return 1 + protowire.SizeBytes(proto.Size(m)) }
