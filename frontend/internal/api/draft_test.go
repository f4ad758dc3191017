package api

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	"torikumi/pkg/queues"
	"torikumi/pkg/ruleset"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// asError returns the error of the service, or an empty one.
func asError(err error) *Error {
	var failed *Error
	if !errors.As(err, &failed) {
		return &Error{}
	}
	return failed
}

func attribute(a string) string {
	return `{"queue":"session","players":[{"attributes":{"x":` + a + `}}]}`
}

func repeat(n int, each func(i int) string) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = each(i)
	}
	return strings.Join(parts, ",")
}

func TestDraftNamesWhatIsWrong(t *testing.T) {
	quoted := func(i int) string { return fmt.Sprintf(`"k%d"`, i) }
	for request, want := range map[string]string{
		`{"queue":"squad","players":[{"id":"b"}]}`:                                   "players[0].id",
		`{"queue":"squad","players":[{},{"id":"b"}]}`:                                "players",
		`{"queue":"squad","players":[{"id":"a"},{"id":"a"}]}`:                        "players",
		`{"queue":"squad","party":{}}`:                                               "party",
		`{"queue":"squad","party":{"size":1}}`:                                       "party.size",
		`{"queue":"squad","party":{"size":3}}`:                                       "party.size",
		`{"queue":"squad","party":{"invited":["b","c"]}}`:                            "party.size",
		`{"queue":"squad","party":{"size":2,"invited":["b","c"]}}`:                   "party.size",
		`{"queue":"squad","party":{"size":-2147483648}}`:                             "party.size",
		`{"queue":"squad","party":{"invited":["a"]}}`:                                "party.invited[0]",
		`{"queue":"squad","party":{"size":2,"invited":["b","b"]}}`:                   "party.invited[1]",
		`{"queue":"squad","party":{"invited":["b c"]}}`:                              "party.invited[0]",
		`{"queue":"squad","party":{"invited":["` + strings.Repeat("b", 129) + `"]}}`: "party.invited[0]",
		`{"queue":"squad","party":{"invited":[""]}}`:                                 "party.invited[0]",
		`{"queue":"session","players":[{"attributes":{"a b ":{"number":1}}}]}`:       "players[0].attributes",
		`{"queue":"session","players":[{"attributes":{"":{"number":1}}}]}`:           "players[0].attributes",
		`{"queue":"session","players":[{"latencies":{"e u":1}}]}`:                    "players[0].latencies",
		`{"queue":"session","players":[{"latencies":{"eu":-1}}]}`:                    "players[0].latencies.eu",
		`{"queue":"session","region":"` + strings.Repeat("r", 65) + `"}`:             "region",
		attribute(`{}`):                                            "players[0].attributes.x",
		attribute(`{"number":"Infinity"}`):                         "players[0].attributes.x.number",
		attribute(`{"number":"NaN"}`):                              "players[0].attributes.x.number",
		attribute(`{"string":"` + strings.Repeat("é", 257) + `"}`): "players[0].attributes.x.string",
		attribute(`{"string_list":{"values":["` + strings.Repeat("é", 257) + `"]}}`):                                                                          "players[0].attributes.x.string_list.values[0]",
		attribute(`{"string_list":{"values":[` + repeat(65, quoted) + `]}}`):                                                                                  "players[0].attributes.x.string_list.values",
		attribute(`{"string_number_map":{"values":{"y":"-Infinity"}}}`):                                                                                       "players[0].attributes.x.string_number_map.values.y",
		attribute(`{"string_number_map":{"values":{"y/z":1}}}`):                                                                                               "players[0].attributes.x.string_number_map.values",
		attribute(`{"string_number_map":{"values":{` + repeat(65, func(i int) string { return quoted(i) + ":1" }) + `}}}`):                                    "players[0].attributes.x.string_number_map.values",
		`{"queue":"session","players":[{"attributes":{` + repeat(ruleset.MaxAttributes+1, func(i int) string { return quoted(i) + `:{"number":1}` }) + `}}]}`: "players[0].attributes",
		`{"queue":"session","players":[{"latencies":{` + repeat(65, func(i int) string { return quoted(i) + ":1" }) + `}}]}`:                                  "players[0].latencies",
	} {
		req := new(torikumiv1.CreateTicketRequest)
		if err := protojson.Unmarshal([]byte(request), req); err != nil {
			t.Fatal(err)
		}
		_, err := Draft(queues.Default(), Caller{Player: "a"}, req)
		if p := asError(err); err == nil || len(p.Errors) == 0 || p.Errors[0].Field != want || len(p.Errors) > 1 && !strings.HasPrefix(p.Errors[1].Field, "party") {
			t.Errorf("%.100s: %v, want one error about %s", request, p.Errors, want)
		}
	}
}

func TestDraftAccepts(t *testing.T) {
	full := &torikumiv1.CreateTicketRequest{Queue: "squad", Region: "eu-1", Players: []*torikumiv1.Player{{Id: "x|y@z"}, {
		Id:         "me",
		Attributes: map[string]*torikumiv1.Attribute{"n": {Value: &torikumiv1.Attribute_Number{Number: -math.MaxFloat64}}},
		Latencies:  map[string]int32{"eu-1": 0, "us": 60000},
	}}}
	got, err := Draft(queues.Default(), Caller{Service: true}, full)
	if err != nil || len(got.Players) != 2 || got.Players[1].GetId() != "me" || got.Queue != "squad" || got.Region != "eu-1" {
		t.Errorf("draft: %+v, %v", got, err)
	}
	for name, req := range map[string]*torikumiv1.CreateTicketRequest{
		"invited": {Queue: "squad", Party: &torikumiv1.PartyRequest{Invited: []string{"b"}}},
		"size":    {Queue: "squad", Party: &torikumiv1.PartyRequest{Size: 2}},
		"both":    {Queue: "squad", Party: &torikumiv1.PartyRequest{Size: 2, Invited: []string{"b"}}},
	} {
		got, err := Draft(queues.Default(), Caller{Player: "me"}, req)
		if err != nil || got.Party.Leader != "me" || got.Party.Size != 2 || len(got.Party.Code) != codeLength || len(got.Players) != 1 {
			t.Errorf("%s: %+v, %v", name, got.Party, err)
		}
	}
	got, err = Draft(queues.Default(), Caller{Player: "me"}, &torikumiv1.CreateTicketRequest{Queue: "session"})
	if err != nil || len(got.Players) != 1 || got.Players[0].GetId() != "me" {
		t.Errorf("caller alone: %+v, %v", got, err)
	}
}

// TestDraftOfABackend: with a service token all players are named.
func TestDraftOfABackend(t *testing.T) {
	for request, want := range map[string]string{
		`{"queue":"squad"}`:                                              "players",
		`{"queue":"squad","players":[{}]}`:                               "players[0].id",
		`{"queue":"squad","players":[{"id":"a"},{"id":"b c"}]}`:          "players[1].id",
		`{"queue":"squad","players":[{"id":"a"},{"id":"a"}]}`:            "players[1].id",
		`{"queue":"squad","players":[{"id":"a"}],"party":{"size":2}}`:    "party",
		`{"queue":"squad","players":[{"id":"a"},{"id":"b"},{"id":"c"}]}`: "players",
	} {
		req := new(torikumiv1.CreateTicketRequest)
		if err := protojson.Unmarshal([]byte(request), req); err != nil {
			t.Fatal(err)
		}
		_, err := Draft(queues.Default(), Caller{Service: true}, req)
		if p := asError(err); err == nil || len(p.Errors) != 1 || p.Errors[0].Field != want {
			t.Errorf("%s: %v, want one error about %s", request, p.Errors, want)
		}
	}
}

func TestRubbishIsAnsweredBriefly(t *testing.T) {
	req := &torikumiv1.CreateTicketRequest{Queue: "squad"}
	for range 1000 {
		req.Players = append(req.Players, &torikumiv1.Player{Id: "?"})
	}
	_, err := Draft(queues.Default(), Caller{Service: true}, req)
	if got := len(asError(err).Errors); got != maxViolations {
		t.Errorf("%d errors named, want %d", got, maxViolations)
	}
}
