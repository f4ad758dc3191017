package matchmaker

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"torikumi/frontend/internal/ticket"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

func number(n float64) *torikumiv1.Attribute {
	return &torikumiv1.Attribute{Value: &torikumiv1.Attribute_Number{Number: n}}
}

func text(s string) *torikumiv1.Attribute {
	return &torikumiv1.Attribute{Value: &torikumiv1.Attribute_String_{String_: s}}
}

func TestSearchFields(t *testing.T) {
	type attributes = map[string]*torikumiv1.Attribute
	for name, test := range map[string]struct {
		ticket ticket.Ticket
		want   *openmatch.SearchFields
	}{
		"alone": {
			ticket.Ticket{Players: []*torikumiv1.Player{{Id: "a", Attributes: attributes{"skill": number(7), "map": text("ice")}, Latencies: map[string]int32{"eu": 9}}}},
			&openmatch.SearchFields{DoubleArgs: map[string]float64{"skill": 7}, StringArgs: map[string]string{"map": "ice"}},
		},
		"region": {
			ticket.Ticket{Region: "eu", Players: []*torikumiv1.Player{{Id: "a", Latencies: map[string]int32{"eu": 9, "us": 80}}}},
			&openmatch.SearchFields{DoubleArgs: map[string]float64{"latency": 9}, StringArgs: map[string]string{"region": "eu"}},
		},
		"region without latency": {
			ticket.Ticket{Region: "eu", Players: []*torikumiv1.Player{{Id: "a", Latencies: map[string]int32{"us": 80}}}},
			&openmatch.SearchFields{StringArgs: map[string]string{"region": "eu"}},
		},
		"an attribute is no region": {
			ticket.Ticket{Players: []*torikumiv1.Player{{Id: "a", Attributes: attributes{"region": text("mars")}}}},
			&openmatch.SearchFields{},
		},
		"party": {
			ticket.Ticket{Region: "eu", Players: []*torikumiv1.Player{
				{Id: "a", Attributes: attributes{"skill": number(10), "map": text("ice")}, Latencies: map[string]int32{"eu": 9}},
				{Id: "b", Attributes: attributes{"skill": number(20), "level": number(3)}, Latencies: map[string]int32{"eu": 70}},
				{Id: "c", Attributes: attributes{"skill": number(60)}},
			}},
			&openmatch.SearchFields{DoubleArgs: map[string]float64{"skill": 30, "level": 3, "latency": 70}, StringArgs: map[string]string{"region": "eu"}},
		},
		"large numbers": {
			ticket.Ticket{Players: []*torikumiv1.Player{
				{Id: "a", Attributes: attributes{"x": number(math.MaxFloat64)}},
				{Id: "b", Attributes: attributes{"x": number(math.MaxFloat64)}},
			}},
			&openmatch.SearchFields{DoubleArgs: map[string]float64{"x": math.MaxFloat64}},
		},
	} {
		got, err := OpenMatchTicket(&test.ticket, "mode.q", time.Unix(1800000000, 0))
		if err != nil {
			t.Fatal(err)
		}
		test.want.Tags = []string{"mode.q"}
		if diff := cmp.Diff(test.want, got.GetSearchFields(), protocmp.Transform()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
