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
		`{"queue":"squad","players":[{},{"id":"b c"}]}`:                              "players[1].id",
		`{"queue":"squad","players":[{},{"id":"` + strings.Repeat("b", 129) + `"}]}`: "players[1].id",
		`{"queue":"squad","players":[{},{"id":"b"},{"id":"c"}]}`:                     "players",
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
		_, err := Draft(queues.Default(), "a", req)
		if p := asError(err); err == nil || len(p.Errors) != 1 || p.Errors[0].Field != want {
			t.Errorf("%.100s: %v, want one error about %s", request, p.Errors, want)
		}
	}
}

func TestDraftAccepts(t *testing.T) {
	full := &torikumiv1.CreateTicketRequest{Queue: "squad", Region: "eu-1", Players: []*torikumiv1.Player{{Id: "x|y@z"}, {
		Attributes: map[string]*torikumiv1.Attribute{"n": {Value: &torikumiv1.Attribute_Number{Number: -math.MaxFloat64}}},
		Latencies:  map[string]int32{"eu-1": 0, "us": 60000},
	}}}
	got, err := Draft(queues.Default(), "me", full)
	if err != nil || len(got.Players) != 2 || got.Players[1].GetId() != "me" || got.Queue != "squad" || got.Region != "eu-1" {
		t.Errorf("draft: %+v, %v", got, err)
	}
	if full.GetPlayers()[1].GetId() != "" {
		t.Error("the request was changed")
	}
	got, err = Draft(queues.Default(), "me", &torikumiv1.CreateTicketRequest{Queue: "session"})
	if err != nil || len(got.Players) != 1 || got.Players[0].GetId() != "me" {
		t.Errorf("caller alone: %+v, %v", got, err)
	}
}

func TestRubbishIsAnsweredBriefly(t *testing.T) {
	req := &torikumiv1.CreateTicketRequest{Queue: "squad"}
	for range 1000 {
		req.Players = append(req.Players, &torikumiv1.Player{Id: "?"})
	}
	_, err := Draft(queues.Default(), "a", req)
	if got := len(asError(err).Errors); got != maxViolations {
		t.Errorf("%d errors named, want %d", got, maxViolations)
	}
}
