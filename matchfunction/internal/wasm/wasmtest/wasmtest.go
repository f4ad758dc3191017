// Package wasmtest assembles small modules for tests, without a compiler.
package wasmtest

import "encoding/binary"

// Module is what a module consists of. Its memory has one page, unless Pages says
// otherwise.
type Module struct {
	Pages   int
	Imports []string // functions of module "env" without parameters
	// Functions by the names under which they are exported. All of them are
	// (i32, i32) -> i64, but for rule_alloc, which is (i32) -> i32, and others
	// that begin with "_", which are () -> ().
	Functions []Function
	// Data is at address DataAt.
	Data string
	// Tables are its tables: least numbers of elements, and most ones if they are not 0.
	Tables [][2]uint64
	// NoMemory leaves the export of the memory out.
	NoMemory bool
}

// Function is one of a module: its instructions, without locals and the last end.
type Function struct {
	Export string
	Body   []byte
}

// Where modules have their text and their input.
const (
	DataAt  = 16
	InputAt = 4096
)

// Instructions.
var (
	Unreachable = []byte{0x00}
	Nop         = []byte{0x01}
	// Forever is a loop without end.
	Forever = []byte{0x03, 0x40, 0x0c, 0, 0x0b, 0x00}
	// Grow takes memory until there is none, and then ends with a trap.
	Grow = []byte{0x03, 0x40, 0x41, 1, 0x40, 0, 0x41, 0x7f, 0x47, 0x0d, 0, 0x0b, 0x00}
)

// Join puts instructions one after the other.
func Join(parts ...[]byte) []byte {
	var out []byte
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// Answer is a body that returns a number.
func Answer(x uint64) []byte { return append([]byte{0x42}, signed(int64(x))...) }

// Text is a body that returns the module's Data.
func Text(data string) []byte { return Answer(DataAt<<32 | uint64(len(data))) }

// Call calls a function of the module by its position, with the same arguments.
func Call(position int) []byte { return []byte{0x20, 0, 0x20, 1, 0x10, byte(position)} }

// Alloc is rule_alloc of a module that has its input at one address.
var Alloc = Function{"rule_alloc", append([]byte{0x41}, signed(InputAt)...)}

// Judge is a module whose rule_judge has a body.
func Judge(data string, body []byte) []byte {
	return Module{Data: data, Functions: []Function{Alloc, {"rule_judge", body}}}.Bytes()
}

// Allow allows every match.
func Allow() []byte { return Judge("", Answer(0)) }

// Refuse refuses every match with a text.
func Refuse(text string) []byte { return Judge(text, Text(text)) }

// AtMost is a body that allows matches of at most so many players, and returns
// the module's Data about others: it reads how many there are, at byte 28.
func AtMost(players int, data string) []byte {
	return Join([]byte{0x20, 0, 0x28, 2, 28, 0x41}, signed(int64(players)), []byte{0x4b, 0x04, 0x7e}, Text(data), []byte{0x05}, Answer(0), []byte{0x0b})
}

// GrowTable is a body that lets a table grow by so many elements, and returns the module's
// Data if it could.
func GrowTable(table byte, by int, data string) []byte {
	grow := Join([]byte{0xd0, 0x70, 0x41}, signed(int64(by)), []byte{0xfc, 0x0f, table, 0x41, 0x7f, 0x46, 0x04, 0x7e})
	return Join(grow, Answer(0), []byte{0x05}, Text(data), []byte{0x0b})
}

// Fill is a body that fills so much memory so many times, without a loop.
func Fill(size, times int) []byte {
	one := Join([]byte{0x41, 0, 0x41, 0, 0x41}, signed(int64(size)), []byte{0xfc, 0x0b, 0})
	var all []byte
	for range times {
		all = append(all, one...)
	}
	return Join(all, Answer(0))
}

// Turns is a body that allows every second match: it counts at byte 8.
func Turns(data string) []byte {
	count := []byte{0x41, 8, 0x41, 8, 0x28, 2, 0, 0x41, 1, 0x6a, 0x36, 2, 0, 0x41, 8, 0x28, 2, 0, 0x41, 1, 0x71, 0x04, 0x7e}
	return Join(count, Answer(0), []byte{0x05}, Text(data), []byte{0x0b})
}

// Bytes is the module as a file has it.
func (m Module) Bytes() []byte {
	out := []byte("\x00asm\x01\x00\x00\x00")
	section := func(id byte, items ...[]byte) { out = append(append(out, id), sized(vector(items...))...) }
	section(1, []byte{0x60, 1, 0x7f, 1, 0x7f}, []byte{0x60, 2, 0x7f, 0x7f, 1, 0x7e}, []byte{0x60, 0, 0})
	var imports, types, exports, code [][]byte
	for _, name := range m.Imports {
		imports = append(imports, Join(sized([]byte("env")), sized([]byte(name)), []byte{0, 2}))
	}
	section(2, imports...)
	for i, f := range m.Functions {
		kind := byte(1)
		switch {
		case f.Export == "rule_alloc":
			kind = 0
		case f.Export[0] == '_':
			kind = 2
		}
		types = append(types, []byte{kind})
		exports = append(exports, Join(sized([]byte(f.Export)), []byte{0, byte(i + len(m.Imports))}))
		code = append(code, sized(Join([]byte{0}, f.Body, []byte{0x0b})))
	}
	section(3, types...)
	if len(m.Tables) > 0 {
		var tables [][]byte
		for _, t := range m.Tables {
			if t[1] == 0 {
				tables = append(tables, Join([]byte{0x70, 0}, unsigned(t[0])))
			} else {
				tables = append(tables, Join([]byte{0x70, 1}, unsigned(t[0]), unsigned(t[1])))
			}
		}
		section(4, tables...)
	}
	section(5, Join([]byte{0}, unsigned(uint64(max(1, m.Pages)))))
	if !m.NoMemory {
		exports = append(exports, Join(sized([]byte("memory")), []byte{2, 0}))
	}
	section(7, exports...)
	section(10, code...)
	if m.Data != "" {
		section(11, Join([]byte{0, 0x41}, signed(DataAt), []byte{0x0b}, sized([]byte(m.Data))))
	}
	return out
}

func vector(items ...[]byte) []byte { return append(unsigned(uint64(len(items))), Join(items...)...) }

func sized(b []byte) []byte { return append(unsigned(uint64(len(b))), b...) }

// unsigned is LEB128.
func unsigned(x uint64) []byte { return binary.AppendUvarint(nil, x) }

// signed is LEB128 of a signed number.
func signed(x int64) []byte {
	var out []byte
	for {
		b := byte(x & 0x7f)
		x >>= 7
		if x == 0 && b&0x40 == 0 || x == -1 && b&0x40 != 0 {
			return append(out, b)
		}
		out = append(out, b|0x80)
	}
}
