package process

import (
	"bytes"
	"io"
	"slices"
	"sync"
)

// sharedWriter lets many programs write to one place, a line at a time.
type sharedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *sharedWriter) line(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// A terminal that is gone must not end the game servers.
	_, _ = s.w.Write(b)
}

// lines cuts a program's output into lines of a bounded length, passes them on
// with a prefix, and remembers the last ones.
type lines struct {
	prefix string
	to     *sharedWriter
	limit  int

	mu   sync.Mutex
	part []byte
	// cut says that the line has already been longer than the limit.
	cut  bool
	last []string
}

func newLines(prefix string, to *sharedWriter, limit int) *lines {
	return &lines{prefix: prefix, to: to, limit: limit}
}

// Write never fails.
func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(b)
	for len(b) > 0 {
		head, rest, found := bytes.Cut(b, []byte{'\n'})
		if room := l.limit - len(l.part); len(head) > room {
			head, l.cut = head[:room], true
		}
		l.part = append(l.part, head...)
		if found {
			l.emit()
		}
		b = rest
	}
	return n, nil
}

// flush passes on a last line that has no end.
func (l *lines) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.part) > 0 {
		l.emit()
	}
}

func (l *lines) emit() {
	text := string(bytes.TrimSuffix(l.part, []byte{'\r'}))
	if l.cut {
		text += "…"
	}
	l.part, l.cut = l.part[:0], false
	if l.last = append(l.last, text); len(l.last) > tailLines {
		l.last = slices.Delete(l.last, 0, 1)
	}
	if l.to != nil {
		l.to.line([]byte(l.prefix + text + "\n"))
	}
}

func (l *lines) tail() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.last)
}
