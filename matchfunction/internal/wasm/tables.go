package wasm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

const (
	// mostElements is how many elements all tables of an instance may come to have: 8 MiB
	// of memory, which no limit of the runtime counts.
	mostElements = 1 << 20
	mostTables   = 16

	headerSize   = 8
	tableSection = 4
	hasMost      = 1 // flag of a table that has a most number of elements
	functions    = 0x70
	externals    = 0x6f
)

// errTables refuses what the runtime may take and boundTables does not understand.
var errTables = errors.New("has tables of another form than compilers of Go, C and Rust make")

// boundTables gives each table of a module a most number of elements, as compilers leave it
// out and modules could let tables grow without end. What is no module is left as it is:
// whoever compiles it says what is wrong.
func boundTables(text []byte) ([]byte, error) {
	for at := headerSize; at < len(text); {
		size, n := binary.Uvarint(text[at+1:])
		begin := at + 1 + n
		if n <= 0 || size > uint64(len(text)-begin) {
			return text, nil
		}
		end := begin + int(size)
		if text[at] != tableSection {
			at = end
			continue
		}
		bounded, err := bounded(text[begin:end])
		if err != nil {
			return nil, err
		}
		out := append(append([]byte{}, text[:at+1]...), binary.AppendUvarint(nil, uint64(len(bounded)))...)
		return append(append(out, bounded...), text[end:]...), nil
	}
	return text, nil
}

// table is one as a section has it.
type table struct {
	kind        byte // which is below 128, as a number of one byte
	least, most uint64
}

// bounded is the content of a section of tables, each with a most: together they may not have
// more than mostElements.
func bounded(section []byte) ([]byte, error) {
	tables, err := readTables(section)
	if err != nil {
		return nil, err
	}
	room := uint64(mostElements)
	for _, t := range tables {
		if t.least > room {
			return nil, fmt.Errorf("has tables of more than %d elements", mostElements)
		}
		room -= t.least
	}
	out := binary.AppendUvarint(nil, uint64(len(tables)))
	for _, t := range tables {
		out = append(out, t.kind, hasMost)
		out = binary.AppendUvarint(out, t.least)
		out = binary.AppendUvarint(out, min(t.most, t.least+room/uint64(len(tables))))
	}
	return out, nil
}

func readTables(section []byte) ([]table, error) {
	r := reader{rest: section}
	count := r.number()
	if count > mostTables {
		return nil, fmt.Errorf("has %d tables, may have at most %d", count, mostTables)
	}
	var tables []table
	for range count {
		t := table{kind: byte(r.number()), most: math.MaxUint32}
		flags := r.number()
		if t.least = r.number(); flags == hasMost {
			t.most = r.number()
		}
		if t.kind != functions && t.kind != externals || flags > hasMost || t.most < t.least {
			return nil, errTables
		}
		tables = append(tables, t)
	}
	if r.short || len(r.rest) > 0 {
		return nil, errTables
	}
	return tables, nil
}

// reader takes numbers off the front.
type reader struct {
	rest  []byte
	short bool // there was no number
}

func (r *reader) number() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.rest, r.short = nil, true
		return 0
	}
	r.rest = r.rest[size:]
	return n
}
