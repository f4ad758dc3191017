package index

import "hash/maphash"

// shards is the number of maps of a table. Go's maps never give memory back, so
// that one has to be copied to shrink: each of them alone, and so never for long.
const shards = 256

// table is a map that shrinks.
type table[K comparable, V any] struct {
	seed   maphash.Seed
	shards *[shards]shard[K, V]
}

type shard[K comparable, V any] struct {
	m map[K]V
	// peak is the greatest length since m was made.
	peak int
}

func newTable[K comparable, V any]() table[K, V] {
	return table[K, V]{seed: maphash.MakeSeed(), shards: new([shards]shard[K, V])}
}

func (t *table[K, V]) shard(k K) *shard[K, V] {
	return &t.shards[maphash.Comparable(t.seed, k)%shards]
}

func (t *table[K, V]) get(k K) (V, bool) {
	v, ok := t.shard(k).m[k]
	return v, ok
}

func (t *table[K, V]) put(k K, v V) {
	s := t.shard(k)
	if s.m == nil {
		s.m = map[K]V{}
	}
	s.m[k] = v
	s.peak = max(s.peak, len(s.m))
}

func (t *table[K, V]) delete(k K) {
	s := t.shard(k)
	delete(s.m, k)
	switch n := len(s.m); {
	case n == 0:
		*s = shard[K, V]{}
	case s.peak >= 32 && n <= s.peak/4:
		old := s.m
		s.m, s.peak = make(map[K]V, n), n
		for k, v := range old {
			s.m[k] = v
		}
	}
}
