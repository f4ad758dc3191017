package query

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"torikumi/proto/openmatch"
)

// Pages hold everything once, in order, and none passes a bound that it could keep.
func TestPages(t *testing.T) {
	const pageBytes = 1000
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOf(rapid.OneOf(rapid.IntRange(0, 200), rapid.IntRange(0, pageBytes+100), rapid.SampledFrom([]int{pageBytes, pageBytes / 2}))).Draw(t, "sizes")
		most := rapid.IntRange(1, 20).Draw(t, "most")
		var all, got []*openmatch.Ticket
		for i, n := range sizes {
			all = append(all, &openmatch.Ticket{Id: fmt.Sprint(i) + strings.Repeat("x", n)})
		}
		last := 0
		for page := range pages(all, most, pageBytes) {
			size := proto.Size(&openmatch.QueryTicketsResponse{Tickets: page})
			if len(page) == 0 || len(page) > most || len(page) > 1 && size > pageBytes {
				t.Fatalf("a page of %d tickets, %d bytes", len(page), size)
			}
			if first := proto.Size(&openmatch.QueryTicketsResponse{Tickets: page[:1]}); len(got) > 0 && last < most && lastSize(got, last)+first <= pageBytes {
				t.Fatal("the page before could have held more")
			}
			got, last = append(got, page...), len(page)
		}
		if len(got) != len(all) {
			t.Fatalf("%d of %d tickets", len(got), len(all))
		}
		for i := range all {
			if got[i] != all[i] {
				t.Fatalf("another order from %d on", i)
			}
		}
	})
}

func lastSize(got []*openmatch.Ticket, n int) int {
	return proto.Size(&openmatch.QueryTicketsResponse{Tickets: got[len(got)-n:]})
}
