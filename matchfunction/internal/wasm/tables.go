package wasm

import (
	"encoding/binary"
	"fmt"
)

const (
	// mostElements is how many elements all tables of an instance may come to have: 8 MiB
	// of memory, which no limit of the runtime counts.
	mostElements = 1 << 20
	mostTables   = 16

	headerSize   = 8
	tableSection = 4
	hasMost      = 1 // flag of a table that has a most number of elements
)

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
		if bounded == nil || err != nil {
			return text, err
		}
		out := append(append([]byte{}, text[:at+1]...), binary.AppendUvarint(nil, uint64(len(bounded)))...)
		return append(append(out, bounded...), text[end:]...), nil
	}
	return text, nil
}

// bounded is the content of a section of tables, each with a most; nil if it is none.
func bounded(section []byte) ([]byte, error) {
	count, section := number(section)
	if count > mostTables {
		return nil, fmt.Errorf("has %d tables, may have at most %d", count, mostTables)
	}
	out, all := binary.AppendUvarint(nil, count), uint64(0)
	for range count {
		if len(section) < 3 || section[1] > hasMost {
			return nil, nil
		}
		kind, flag := section[0], section[1]
		var least, most uint64
		least, section = number(section[2:])
		if most = mostElements / count; flag == hasMost {
			var own uint64
			own, section = number(section)
			most = min(most, own)
		}
		if all += least; all > mostElements {
			return nil, fmt.Errorf("has tables of %d elements, may have at most %d", all, mostElements)
		}
		out = append(out, kind, hasMost)
		out = binary.AppendUvarint(binary.AppendUvarint(out, least), max(least, most))
	}
	if len(section) > 0 {
		return nil, nil
	}
	return out, nil
}

// number takes a number off the front; there is nothing left if there is none.
func number(from []byte) (uint64, []byte) {
	n, size := binary.Uvarint(from)
	if size <= 0 {
		return 0, nil
	}
	return n, from[size:]
}
