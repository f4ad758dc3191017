package packing

// checkEvery is the number of steps between two looks at the clock.
const checkEvery = 1 << 13

// budget counts steps. The zero value has none.
type budget struct {
	left, spent int64
	check       int64 // spent at the next look at the clock
	stop        func() bool
	cut         bool
}

// grant makes n the number of steps that are left.
func (b *budget) grant(n int64) { b.left = n }

// spend takes n steps and reports whether there is anything left. Whoever is in
// the middle of something may finish it.
func (b *budget) spend(n int) bool {
	b.left -= int64(n)
	b.spent += int64(n)
	if b.stop != nil && b.spent >= b.check {
		b.check = b.spent + checkEvery
		b.cut = b.cut || b.stop()
	}
	return b.left > 0 && !b.cut
}

func (b *budget) over() bool { return b.left <= 0 || b.cut }
