package module

import (
	"encoding/json"
	"unsafe"

	"torikumi/matchfunction/rule"
)

// A module is one rule, and one goroutine calls it.
var (
	factory rule.Factory
	made    rule.Rule
	// input and answer are kept for as long as the match function reads or
	// writes them.
	input  []byte
	answer []byte
)

// Serve says which rule the module is, before anybody calls it: in an init
// function. A Pairwise is asked for whole matches only.
func Serve(f rule.Factory) { factory = f }

//go:wasmexport rule_alloc
func alloc(size uint32) unsafe.Pointer {
	if uint32(cap(input)) < size {
		input = make([]byte, size)
	}
	input = input[:size]
	return unsafe.Pointer(unsafe.SliceData(input))
}

//go:wasmexport rule_init
func initialize(_ unsafe.Pointer, size uint32) uint64 {
	if factory == nil {
		return says("no init function of the module has called module.Serve")
	}
	var parameters json.RawMessage
	if size > 0 {
		parameters = append(parameters, input[:size]...)
	}
	r, err := factory(parameters)
	switch {
	case err != nil:
		return says(err.Error())
	case r == nil:
		return says("the factory made no rule")
	}
	made = r
	return 0
}

//go:wasmexport rule_judge
func judge(_ unsafe.Pointer, size uint32) uint64 {
	m, err := Decode(input[:size])
	if err != nil {
		panic(err)
	}
	if err := made.Allows(m); err != nil {
		return says(err.Error())
	}
	return 0
}

// says returns where a text is and its length.
func says(text string) uint64 {
	answer = append(answer[:0], clean(text)...)
	return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(answer))))<<32 | uint64(len(answer))
}
