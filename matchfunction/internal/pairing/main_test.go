package pairing_test

import (
	"flag"
	"os"
	"testing"
)

// TestMain draws more cases than usual: each is a matter of microseconds.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "3000"); err != nil {
		panic(err)
	}
	flag.Parse() // a number from the command line goes before ours
	os.Exit(m.Run())
}
