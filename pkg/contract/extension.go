package contract

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	torikumiv1 "torikumi/proto/torikumi/v1"
)

// ErrNoExtension says that a message lacks the extension; what other
// frontends, directors and match functions make has none of ours.
var ErrNoExtension = errors.New("no such extension")

// Put packs m into the extensions of one of Open Match's messages. Our own
// messages travel in well-known types, since Open Match's REST mapping fails
// for everything that holds a type it does not know: the assignment as a
// google.protobuf.Struct that any client can read, the others serialized in a
// google.protobuf.BytesValue. Put fails if our message has another name.
func Put(extensions *map[string]*anypb.Any, name string, m proto.Message) error {
	packed, err := pack(name, m)
	if err != nil {
		return fmt.Errorf("pack extension %q: %w", name, err)
	}
	if *extensions == nil {
		*extensions = make(map[string]*anypb.Any)
	}
	(*extensions)[name] = packed
	return nil
}

func pack(name string, m proto.Message) (*anypb.Any, error) {
	ours, err := checkName(name, m)
	if err != nil {
		return nil, err
	}
	if a, ok := m.(*torikumiv1.AssignmentDetails); ok {
		return anypb.New(assignmentStruct(a))
	}
	if !ours {
		return anypb.New(m)
	}
	b, err := proto.Marshal(m)
	if err != nil {
		return nil, err
	}
	return anypb.New(wrapperspb.Bytes(b))
}

// Get unpacks the named extension into m. It reads each of our own messages
// from a BytesValue and from a Struct, whose fields have the names of the
// .proto or of its JSON mapping. For one release it also reads an Any of the
// message's own type, which earlier services wrote. The error is ErrNoExtension
// if the extension is not there, and another if it holds something else or is
// malformed.
func Get(extensions map[string]*anypb.Any, name string, m proto.Message) error {
	packed, ok := extensions[name]
	if !ok || packed == nil {
		return fmt.Errorf("extension %q: %w", name, ErrNoExtension)
	}
	if err := unpack(packed, name, m); err != nil {
		return fmt.Errorf("unpack extension %q: %w", name, err)
	}
	return nil
}

func unpack(packed *anypb.Any, name string, m proto.Message) error {
	ours, err := checkName(name, m)
	if err != nil {
		return err
	}
	switch {
	case ours && packed.MessageIs((*wrapperspb.BytesValue)(nil)):
		var b wrapperspb.BytesValue
		if err := packed.UnmarshalTo(&b); err != nil {
			return err
		}
		if err := proto.Unmarshal(b.GetValue(), m); err != nil {
			return err
		}
		return checkFields(m)
	case ours && packed.MessageIs((*structpb.Struct)(nil)):
		return fromStruct(packed, m)
	}
	return packed.UnmarshalTo(m)
}

// fromStruct passes over fields that a newer version adds.
func fromStruct(packed *anypb.Any, m proto.Message) error {
	var s structpb.Struct
	if err := packed.UnmarshalTo(&s); err != nil {
		return err
	}
	if a, ok := m.(*torikumiv1.AssignmentDetails); ok && readAssignment(&s, a) {
		return nil
	}
	text, err := protojson.Marshal(&s)
	if err != nil {
		return err
	}
	return protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(text, m)
}

// checkName reports whether m is one of our own messages; it fails if that
// does not belong under the name. torikumi.v1.TicketDetails and its like are
// called after their extensions.
func checkName(name string, m proto.Message) (ours bool, err error) {
	full := string(m.ProtoReflect().Descriptor().FullName())
	kind, ours := strings.CutSuffix(full, "Details")
	ours = ours && strings.HasPrefix(kind, "torikumi.v1.")
	if want := strings.ToLower(kind); ours && name != want {
		return true, fmt.Errorf("%s stands in %q", full, want)
	}
	return ours, nil
}

// checkFields fails if a field of m came with another wire type than its own,
// which protobuf takes for an unknown field.
func checkFields(m proto.Message) error {
	r := m.ProtoReflect()
	for rest := r.GetUnknown(); len(rest) > 0; {
		number, _, n := protowire.ConsumeField(rest)
		if n < 0 {
			return protowire.ParseError(n)
		}
		if f := r.Descriptor().Fields().ByNumber(number); f != nil {
			return fmt.Errorf("field %s is not a %s", f.Name(), f.Kind())
		}
		rest = rest[n:]
	}
	return nil
}
