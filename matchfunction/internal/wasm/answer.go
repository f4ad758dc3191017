package wasm

import (
	"fmt"
	"unicode"
	"unicode/utf8"
)

// mostSaid is the longest text that a module may answer with, in bytes.
const mostSaid = 1024

// memory is that of an instance.
type memory interface {
	Read(offset, count uint32) ([]byte, bool)
}

// readAnswer reads what rule_init and rule_judge return: 0 for yes, or else the
// address of a text, times 2^32, and its length. The text is a copy.
func readAnswer(m memory, answer uint64) (refusal string, err error) {
	if answer == 0 {
		return "", nil
	}
	address, length := uint32(answer>>32), uint32(answer)
	switch {
	case address == 0 || length == 0:
		return "", fmt.Errorf("answers %#x, which is neither 0 nor a text: its address is %d, its length %d", answer, address, length)
	case length > mostSaid:
		return "", fmt.Errorf("answers with a text of %d bytes, may have at most %d", length, mostSaid)
	}
	text, ok := m.Read(address, length)
	switch {
	case !ok:
		return "", fmt.Errorf("answers with a text outside of its memory: address %d, length %d", address, length)
	case !utf8.Valid(text):
		return "", fmt.Errorf("answers with a text that is no UTF-8: %q", text)
	}
	refusal = string(text)
	for _, r := range refusal {
		if unicode.IsControl(r) {
			return "", fmt.Errorf("answers with a text that has control characters: %q", refusal)
		}
	}
	return refusal, nil
}
