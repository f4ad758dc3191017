package ruleset

import "testing"

// TestKindTable: each type has all of its parts, and stands in the table once.
func TestKindTable(t *testing.T) {
	for i, k := range kindTable {
		if k.kind == "" || k.reader == nil || len(k.properties) == 0 {
			t.Errorf("type %d, %q, lacks a part: %+v", i, k.kind, *k)
		}
		if k.kind.info() != k {
			t.Errorf("%q stands there twice", k.kind)
		}
	}
}
