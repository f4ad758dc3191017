package loadgen

import (
	"errors"

	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers what codec stands on
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
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

// decodeID reads field 1 of an openmatch.Ticket.
func decodeID(b []byte) (string, error) {
	id := ""
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return "", errTicket
		}
		b = b[n:]
		if num == 1 && typ == protowire.BytesType {
			v, n := protowire.ConsumeBytes(b)
			if n < 0 {
				return "", errTicket
			}
			id, b = string(v), b[n:]
			continue
		}
		if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
			return "", errTicket
		}
		b = b[n:]
	}
	if id == "" {
		return "", errTicket
	}
	return id, nil
}
