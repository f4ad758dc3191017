package index

import (
	"fmt"

	"torikumi/minimatch/internal/filter"
)

// Steps is Candidates, and counts the entries and buckets looked at.
func (x *Index[T]) Steps(f *filter.Filter, dst []T) ([]T, int) { return x.candidates(f, dst) }

// Check returns an error when the index contradicts itself.
func (x *Index[T]) Check() error {
	if n, err := x.created.check(); err != nil || n != x.length {
		return fmt.Errorf("created: %d of %d: %v", n, x.length, err)
	}
	for i := range x.terms.shards {
		for t, p := range x.terms.shards[i].m {
			if t != p.term || p.len() == 0 {
				return fmt.Errorf("posting %+v of %d under %+v", p.term, p.len(), t)
			}
			if err := p.check(); err != nil {
				return fmt.Errorf("%+v: %w", t, err)
			}
		}
	}
	for i := range x.doubles.shards {
		for name, o := range x.doubles.shards[i].m {
			if n, err := o.check(); err != nil || n == 0 || o.name != name {
				return fmt.Errorf("%q: %d: %v", name, n, err)
			}
		}
	}
	return nil
}

func (o *ordered[T]) check() (n int, err error) {
	for i, b := range o.buckets {
		n += b.list.len()
		keys := keyRange{b.from, everything.to}
		if i+1 < len(o.buckets) {
			keys.to = o.buckets[i+1].from - 1
		}
		if b.uniform {
			keys.to = b.from
		} else if b.list.len() > bucketSize {
			return 0, fmt.Errorf("bucket of %d", b.list.len())
		}
		if b.list.len() == 0 || len(b.list.appendTo(nil, keys)) != b.list.len() {
			return 0, fmt.Errorf("bucket %+v has others than %+v", b, keys)
		}
		if i > 0 && o.buckets[i-1].list.len()+b.list.len() < bucketSize/4+2 {
			return 0, fmt.Errorf("buckets of %d and %d are neighbours", o.buckets[i-1].list.len(), b.list.len())
		}
		if err := b.list.check(); err != nil {
			return 0, err
		}
	}
	return n, nil
}

func (l *list[T]) check() error {
	for at := range l.len() {
		it := l.item(at)
		if p := it.entry.places[it.place]; p.list != l || int(p.at) != at {
			return fmt.Errorf("%d: the entry believes to be at %d", at, p.at)
		}
	}
	return nil
}
