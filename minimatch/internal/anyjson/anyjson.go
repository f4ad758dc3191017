// Package anyjson writes and reads the JSON of messages whose extensions hold
// types that minimatch does not know. Open Match's REST mapping fails for all
// that holds such a type; here it is carried through, beside its neighbours:
// as a google.protobuf.Struct with its type_url and its value in base64, which
// every client can read and send back. So are those that cannot be printed for another reason:
// they are malformed, too deep, or hold such a type themselves.
package anyjson

import (
	"encoding/base64"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
)

// Marshal writes m, with names in camel case. It fails only for what is wrong
// outside of extensions.
func Marshal(m proto.Message) ([]byte, error) {
	text, err := protojson.Marshal(m)
	if err != nil {
		return protojson.Marshal(Printable(m))
	}
	return text, nil
}

// Unmarshal reads m. Unknown fields are passed over.
func Unmarshal(text []byte, m proto.Message) error {
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(text, m); err != nil {
		return err
	}
	Restore(m)
	return nil
}

// Printable returns a copy of m whose extensions can all be printed: what cannot is
// inside a Struct, or left out if even its type_url is no UTF-8.
func Printable(m proto.Message) proto.Message {
	m = proto.Clone(m)
	edit(m.ProtoReflect(), func(a *anypb.Any) *anypb.Any {
		if !known(a.GetTypeUrl()) || !prints(a) {
			return wrap(a)
		}
		return a
	})
	return m
}

// Restore takes what Printable has put inside a Struct out of it again.
func Restore(m proto.Message) { edit(m.ProtoReflect(), unwrap) }

const (
	typeField  = "type_url"
	valueField = "value"
)

func wrap(a *anypb.Any) *anypb.Any {
	wrapped, err := anypb.New(&structpb.Struct{Fields: map[string]*structpb.Value{
		typeField:  structpb.NewStringValue(a.GetTypeUrl()),
		valueField: structpb.NewStringValue(base64.StdEncoding.EncodeToString(a.GetValue())),
	}})
	if err != nil {
		return nil // the type_url is not UTF-8
	}
	return wrapped
}

func unwrap(a *anypb.Any) *anypb.Any {
	var s structpb.Struct
	if !a.MessageIs(&s) || a.UnmarshalTo(&s) != nil || len(s.GetFields()) != 2 {
		return a
	}
	url, ok := s.GetFields()[typeField].GetKind().(*structpb.Value_StringValue)
	text, isText := s.GetFields()[valueField].GetKind().(*structpb.Value_StringValue)
	if !ok || !isText {
		return a
	}
	value, err := base64.StdEncoding.DecodeString(text.StringValue)
	if err != nil {
		return a
	}
	inside := &anypb.Any{TypeUrl: url.StringValue, Value: value}
	if known(url.StringValue) && prints(inside) {
		return a // a client's own Struct: Printable makes none of that
	}
	return inside
}

func known(url string) bool {
	_, err := protoregistry.GlobalTypes.FindMessageByURL(url)
	return err == nil
}

func prints(a *anypb.Any) bool {
	_, err := protojson.Marshal(a)
	return err == nil
}

// edit replaces each Any that is the value of a map, as all of Open Match's
// extensions are, by what change returns, and removes it where that is nil.
func edit(m protoreflect.Message, change func(*anypb.Any) *anypb.Any) {
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case field.IsMap():
			editMap(v.Map(), change)
		case field.Message() == nil:
		case field.IsList():
			for i := range v.List().Len() {
				edit(v.List().Get(i).Message(), change)
			}
		default:
			edit(v.Message(), change)
		}
		return true
	})
}

func editMap(m protoreflect.Map, change func(*anypb.Any) *anypb.Any) {
	m.Range(func(key protoreflect.MapKey, v protoreflect.Value) bool {
		a, ok := v.Interface().(protoreflect.Message)
		if !ok {
			return true
		}
		was, ok := a.Interface().(*anypb.Any)
		if !ok {
			edit(a, change)
			return true
		}
		switch now := change(was); {
		case now == nil:
			m.Clear(key)
		case now != was:
			m.Set(key, protoreflect.ValueOfMessage(now.ProtoReflect()))
		}
		return true
	})
}
