package gateapi

import (
	"encoding/json"
	"testing"
)

func TestDecode(t *testing.T) {
	for in, ok := range map[string]bool{
		`{"token":"x"}`: true, ` {"token":"x"} `: true, `{}`: true, ``: false, `null`: false, `[]`: false, `"x"`: false,
		`{"token":1}`: false, `{"token":"x","more":1}`: false, `{"token":"x"}{}`: false, `{"token":"x"`: false, `{"token":"x"}x`: false,
	} {
		var req AdmissionRequest
		if err := decode([]byte(in), &req); (err == nil) != ok {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"token":"x"}`))
	f.Add([]byte(`{"token":"x"} {}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var req AdmissionRequest
		if decode(b, &req) == nil && !json.Valid(b) {
			t.Errorf("accepted %q", b)
		}
	})
}
