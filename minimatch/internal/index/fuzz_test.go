package index_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"torikumi/minimatch/internal/filter"
	"torikumi/proto/openmatch"
)

// FuzzCandidates puts a ticket among others and asks for it by a pool.
func FuzzCandidates(f *testing.F) {
	marshal := func(m proto.Message) []byte {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	for _, p := range selective(300) {
		c := session(150)
		f.Add(marshal(p), marshal(&openmatch.Ticket{SearchFields: c.fields, CreateTime: c.created}), uint16(0xaaaa))
	}
	f.Fuzz(func(t *testing.T, rawPool, rawTicket []byte, leave uint16) {
		var p openmatch.Pool
		var ticket openmatch.Ticket
		if proto.Unmarshal(rawPool, &p) != nil || proto.Unmarshal(rawTicket, &ticket) != nil {
			return
		}
		pf, err := filter.New(&p)
		if err != nil {
			return
		}
		x, others := filled(300)
		in := map[*thing]bool{}
		for i, c := range others {
			if leave>>(i%16)&1 == 1 {
				x.Remove(&c.Entry)
			} else {
				in[c] = true
			}
		}
		for range 3 {
			c := newThing(ticket.GetSearchFields(), ticket.GetCreateTime())
			in[c] = true
			insert(x, c)
		}
		compare(t, x, in, pf)
		for c := range in {
			x.Remove(&c.Entry)
		}
		if err := x.Check(); err != nil || x.Len() != 0 {
			t.Fatalf("%d left: %v", x.Len(), err)
		}
		compare(t, x, map[*thing]bool{}, &filter.Filter{})
	})
}
