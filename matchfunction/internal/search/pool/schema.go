package pool

import (
	"fmt"

	"torikumi/pkg/ruleset"
)

// mostColumns is how many different attributes and aggregations a rule set may
// read: a player can bring all of them, and one word can say which a ticket lacks.
const mostColumns = min(ruleset.MaxAttributes, 64)

// Own is the aggregation that leaves the players of a party their own values.
const Own ruleset.Aggregation = "own"

// column is one attribute of all players, as one aggregation of parties sees
// it.
type column struct {
	attribute ruleset.Attribute
	// aggregation of a party, or Own.
	aggregation ruleset.Aggregation
}

// Schema is what the rules of all stages read of players. It is made when
// rules are compiled; a pool is filled by it. Then it must not change any more.
type Schema struct {
	columns []column
	// words are the strings that rules name. They get the first ids of a
	// pool's dictionary.
	words  []string
	wordID map[string]int32
}

// NewSchema makes a schema without columns.
func NewSchema() *Schema { return &Schema{wordID: make(map[string]int32)} }

// Column returns the position of a column, which is added if it is new. An
// aggregation that is empty is that of ruleset's defaults: Avg of numbers, Union of
// lists. It fails if there are too many columns.
func (s *Schema) Column(a ruleset.Attribute, agg ruleset.Aggregation) (int, error) {
	switch a.Type {
	case ruleset.Number:
		if agg == "" {
			agg = ruleset.Avg
		}
	case ruleset.StringList:
		if agg == "" {
			agg = ruleset.Union
		}
	default:
		agg = Own
	}
	for i, c := range s.columns {
		if c.attribute.Name == a.Name && c.attribute.Type == a.Type && c.aggregation == agg {
			return i, nil
		}
	}
	if len(s.columns) == mostColumns {
		return 0, fmt.Errorf("rules: must read at most %d attributes and aggregations", mostColumns)
	}
	s.columns = append(s.columns, column{a, agg})
	return len(s.columns) - 1, nil
}

// Attribute is what a column holds.
func (s *Schema) Attribute(column int) *ruleset.Attribute { return &s.columns[column].attribute }

// Size is the number of columns.
func (s *Schema) Size() int { return len(s.columns) }

// Word returns the id of a string that a rule names.
func (s *Schema) Word(w string) int32 {
	id, ok := s.wordID[w]
	if !ok {
		id = int32(len(s.words))
		s.words = append(s.words, w)
		s.wordID[w] = id
	}
	return id
}
