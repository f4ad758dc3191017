package loadgen

import (
	"errors"

	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers what codec stands on
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"torikumi/proto/openmatch"
)

// encoded is a message that was marshalled beforehand: the same tickets are
// sent again and again, and encoding their maps each time would cost the
// machine more than sending them.
type encoded []byte

// ticketID takes the id alone out of a ticket in an answer.
type ticketID string

// codec is gRPC's for protocol buffers, which also takes encoded and ticketID.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2("proto")} }

// Marshal encodes v unless it is encoded already.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if b, ok := v.(encoded); ok {
		return mem.BufferSlice{mem.SliceBuffer(b)}, nil
	}
	return c.CodecV2.Marshal(v)
}

// Unmarshal decodes data into v, or into a ticketID the id of the ticket.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	id, ok := v.(*ticketID)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	b := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer b.Free()
	got, err := decodeID(b.ReadOnlyData())
	*id = ticketID(got)
	return err
}

var errTicket = errors.New("the answer is no openmatch.Ticket")

// decodeID reads field 1 of an openmatch.Ticket, by a message that has the id in
// the same field and nothing else.
func decodeID(b []byte) (string, error) {
	var t openmatch.GetTicketRequest
	err := proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(b, &t)
	if err != nil || t.GetTicketId() == "" {
		return "", errTicket
	}
	return t.GetTicketId(), nil
}
