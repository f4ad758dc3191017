package ruleset

import (
	"slices"
	"sync"
)

// kindInfo is what this package knows of a type of rules.
type kindInfo struct {
	kind Kind
	// properties are those that its rules have beside commonProperties. They can be
	// expanded, but for a compound rule's.
	properties []string
	reader     ruleReader
	// large: a match of more than MaxSmallPlayers may have it. FlexMatch takes few of its
	// own there; of ours it may have all.
	large bool
	// nameable: a compound rule may name it. FlexMatch says that none may name a
	// batchDistance, and of compound rules nothing.
	nameable bool
}

// ruleReader reads what a type adds to a rule. It is an interface, as the reader of one
// type looks others up.
type ruleReader interface {
	read(d *decoder, n *node, r *Rule)
	// want adds what a rule wants of players, for those who make players up.
	want(ws *Wants, r *Rule)
}

// noWants is for types whose rules want nothing of single players that is known here.
type noWants struct{}

func (noWants) want(*Wants, *Rule) {}

// kindTable has all types, in the order in which they are shown.
var kindTable = []*kindInfo{
	&comparisonKind, &distanceKind, &batchDistanceKind, &collectionKind, &latencyKind, &distanceSortKind, &absoluteSortKind, &compoundKind,
	&expressionKind, &customKind, &teamDifferenceKind, &teamSizeBalanceKind, &partySizesKind, &roleQuotaKind,
}

// Kinds are all types of rules.
func Kinds() []Kind { return slices.Clone(allKinds()) }

// allKinds is made once: a text can have thousands of rules.
var allKinds = sync.OnceValue(func() []Kind {
	out := make([]Kind, len(kindTable))
	for i, k := range kindTable {
		out[i] = k.kind
	}
	return out
})

// Properties are those that rules of this type have beside what all rules have. They are
// shared, not to be changed.
func (k Kind) Properties() []string { return k.info().properties }

// info returns nil for what is no type.
func (k Kind) info() *kindInfo {
	i := slices.IndexFunc(kindTable, func(info *kindInfo) bool { return info.kind == k })
	if i < 0 {
		return nil
	}
	return kindTable[i]
}

// name says what a rule of this type is.
func (k Kind) name() string {
	if k[0] == 'a' || k[0] == 'e' {
		return "an " + string(k) + " rule"
	}
	return "a " + string(k) + " rule"
}
