// Package proto_test proves that what we write is what Open Match and Agones
// read, and the other way round, against bytes that their own code wrote.
package proto_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	_ "google.golang.org/protobuf/types/known/wrapperspb"

	_ "torikumi/proto/agones/allocation"
	_ "torikumi/proto/agones/sdk"
	_ "torikumi/proto/agones/sdk/alpha"
	_ "torikumi/proto/agones/sdk/beta"
	_ "torikumi/proto/openmatch"
)

// recorded is what one of testdata's files says of one package.
type recorded struct {
	messages map[protoreflect.FullName][2]string // hex, JSON
	methods  map[string]bool
}

func load(t *testing.T, file string) recorded {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := recorded{messages: make(map[protoreflect.FullName][2]string), methods: make(map[string]bool)}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		kind, rest, _ := strings.Cut(lines.Text(), " ")
		switch kind {
		case "message":
			parts := strings.SplitN(rest, " ", 3)
			r.messages[protoreflect.FullName(parts[0])] = [2]string{parts[1], parts[2]}
		case "method":
			r.methods[rest] = true
		}
	}
	if err := lines.Err(); err != nil || len(r.messages) == 0 || len(r.methods) == 0 {
		t.Fatalf("%s: %d messages, %d methods, %v", file, len(r.messages), len(r.methods), err)
	}
	return r
}

func TestWire(t *testing.T) {
	for pkg, file := range map[protoreflect.FullName]string{
		"openmatch":      "testdata/openmatch.txt",
		"allocation":     "testdata/agones-allocation.txt",
		"agones.dev.sdk": "testdata/agones-sdk.txt",

		"agones.dev.sdk.beta":  "testdata/agones-sdk-beta.txt",
		"agones.dev.sdk.alpha": "testdata/agones-sdk-alpha.txt",
	} {
		r := load(t, file)
		t.Run(string(pkg), func(t *testing.T) {
			ours := 0
			protoregistry.GlobalTypes.RangeMessages(func(mt protoreflect.MessageType) bool {
				d := mt.Descriptor()
				if d.ParentFile().Package() != pkg || d.IsMapEntry() {
					return true
				}
				ours++
				want, ok := r.messages[d.FullName()]
				if !ok {
					t.Errorf("%s does not exist there", d.FullName())
					return true
				}
				checkMessage(t, mt, want[0], want[1])
				return true
			})
			if ours != len(r.messages) {
				t.Errorf("we have %d of %d messages", ours, len(r.messages))
			}
			checkMethods(t, pkg, r.methods)
		})
	}
}

// checkMessage reads the recorded bytes with our code: no field may be
// unknown, missing or of another name, and writing gives the same bytes.
func checkMessage(t *testing.T, mt protoreflect.MessageType, hexBytes, json string) {
	t.Helper()
	name := mt.Descriptor().FullName()
	raw, err := hex.DecodeString(hexBytes)
	if err != nil {
		t.Fatal(err)
	}
	fromWire, fromJSON := mt.New().Interface(), mt.New().Interface()
	if err := proto.Unmarshal(raw, fromWire); err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if err := protojson.Unmarshal([]byte(json), fromJSON); err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if !proto.Equal(fromWire, fromJSON) {
		t.Errorf("%s: the bytes say\n%v\nthe names say\n%v", name, fromWire, fromJSON)
	}
	back, err := proto.MarshalOptions{Deterministic: true}.Marshal(fromWire)
	if err != nil || !bytes.Equal(back, raw) {
		t.Errorf("%s: written back as %x, %v", name, back, err)
	}
	fields := mt.Descriptor().Fields()
	for i := range fields.Len() {
		// Every field that we have was set over there.
		if f := fields.Get(i); !fromWire.ProtoReflect().Has(f) {
			t.Errorf("%s: field %s is not in the recorded bytes", name, f.Name())
		}
	}
}

func checkMethods(t *testing.T, pkg protoreflect.FullName, want map[string]bool) {
	t.Helper()
	ours := 0
	protoregistry.GlobalFiles.RangeFilesByPackage(pkg, func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			s := f.Services().Get(i)
			for k := range s.Methods().Len() {
				m := s.Methods().Get(k)
				ours++
				line := fmt.Sprintf("/%s/%s %s %v %s %v", s.FullName(), m.Name(), m.Input().FullName(), m.IsStreamingClient(), m.Output().FullName(), m.IsStreamingServer())
				if !want[line] {
					t.Errorf("method %q does not exist there", line)
				}
			}
		}
		return true
	})
	if ours != len(want) {
		t.Errorf("we have %d of %d methods", ours, len(want))
	}
}
