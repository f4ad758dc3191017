package ruleset_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"torikumi/pkg/ruleset"
)

// FuzzParse reads anything without panic. What is accepted keeps the promises
// of the types, and what is refused has its places within the text.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob(filepath.Join(examplesDir(), "*.json"))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(write(nil)))
	for _, rows := range [][]mistake{headerMistakes, ruleMistakes, addedMistakes, expressionMistakes, statementMistakes, expansionMistakes} {
		for _, m := range rows {
			f.Add([]byte(write(map[string]string{m.section: strings.ReplaceAll(m.text, "^", "")})))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		rs, err := ruleset.Parse(text)
		if err != nil {
			checkErrors(t, text, err)
			return
		}
		checkSound(t, rs)
		again, err := ruleset.Parse([]byte(rs.Text))
		if diff := cmp.Diff(rs, again); diff != "" || err != nil {
			t.Errorf("read again: %v %s", err, diff)
		}
	})
}

func checkErrors(t *testing.T, text []byte, err error) {
	t.Helper()
	var all ruleset.Errors
	if !errors.As(err, &all) || len(all) == 0 {
		t.Fatalf("not an Errors: %v", err)
	}
	lines := strings.Split(string(text), "\n")
	for i, e := range all {
		if e.Line < 1 || e.Line > len(lines) || e.Column < 1 || e.Column > utf8.RuneCountInString(lines[e.Line-1])+1 || e.Message == "" {
			t.Errorf("outside the text: %v", e)
		}
		if !utf8.ValidString(e.Error()) {
			t.Errorf("no UTF-8: %q", e.Error())
		}
		if i > 0 && (e.Line < all[i-1].Line || e.Line == all[i-1].Line && e.Column < all[i-1].Column) {
			t.Errorf("out of order: %v after %v", e, all[i-1])
		}
		if slices.Index(all, e) != i {
			t.Errorf("twice: %v", e)
		}
	}
}
