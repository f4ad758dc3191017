package queues

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// BenchmarkReading is what a Live does twice a second: it reads a queues.yaml and four
// rule sets of 8 kB.
func BenchmarkReading(b *testing.B) {
	dir := b.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	text := "queues:\n"
	for i := range 4 {
		text += fmt.Sprintf("- {name: q%d, rule_set: r%d.json}\n", i, i)
		write(fmt.Sprintf("r%d.json", i), strings.Repeat("x", 8<<10))
	}
	path := filepath.Join(dir, "queues.yaml")
	write("queues.yaml", text)
	last := readSnapshot(path)
	for b.Loop() {
		if !readSnapshot(path).equal(last) {
			b.Fatal("it has changed")
		}
	}
}
