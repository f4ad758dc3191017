package ruleset_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"regexp"
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
	for _, file := range examples(f) {
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
	f.Fuzz(checkParse)
}

// FuzzTokens exchanges some words of good rule sets for words of others, which
// comes further than changed bytes.
func FuzzTokens(f *testing.F) {
	var words []string
	texts := [][]string{tokens.FindAllString(write(nil), -1)}
	for _, file := range examples(f) {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		texts = append(texts, tokens.FindAllString(string(text), -1))
	}
	for _, text := range texts {
		words = append(words, text...)
	}
	words = append(words, `""`, "-1", "0", "1e9", "null", "[", "]", "{", "}", "{}", "[]", `"teams[*].players"`, `"not(not(A))"`, `"*"`)
	for seed := range uint64(300) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 1))
		text := slices.Clone(texts[random.IntN(len(texts))])
		for range 1 + random.IntN(4) {
			i, j := random.IntN(len(text)), random.IntN(len(text))
			switch random.IntN(5) {
			case 0:
				text[i] = words[random.IntN(len(words))]
			case 1:
				text[i], text[j] = text[j], text[i]
			case 2:
				text[i] = text[j]
			case 3: // a word of the same sort
				if w := words[random.IntN(len(words))]; w[0] == text[i][0] {
					text[i] = w
				}
			case 4: // a word within a string
				text[i] = strings.Replace(text[i], "players", words[random.IntN(len(words))], 1)
			}
		}
		checkParse(t, []byte(strings.Join(text, " ")))
	})
}

var tokens = regexp.MustCompile(`"[^"]*"|[-0-9.]+|[a-z]+|[][{}:,]`)

func checkParse(t *testing.T, text []byte) {
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
