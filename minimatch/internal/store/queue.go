package store

import "time"

// queue orders entries by the time at which something happens to them. All wait
// equally long, so that the order of arrival is the order of the deadlines, and
// an entry enters and leaves at the cost of two pointers.
type queue struct {
	timeout    time.Duration
	head, tail *entry
	length     int
}

// push appends the entry, which must stand in no queue. now is counted from the
// store's start and never falls.
func (q *queue) push(e *entry, now time.Duration) {
	e.due, e.queue = now+q.timeout, q
	e.prev, e.next = q.tail, nil
	if q.tail == nil {
		q.head = e
	} else {
		q.tail.next = e
	}
	q.tail = e
	q.length++
}

// dequeue takes the entry out of whichever queue it stands in.
func (e *entry) dequeue() {
	q := e.queue
	if q == nil {
		return
	}
	if e.prev == nil {
		q.head = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		q.tail = e.prev
	} else {
		e.next.prev = e.prev
	}
	q.length--
	e.prev, e.next, e.queue = nil, nil, nil
}
