package corpus

import (
	"strings"
	"testing"
	"time"

	"torikumi/pkg/token"
)

// TestCases: each has a name of its own, a reason, and makes a token.
func TestCases(t *testing.T) {
	m := maker(t)
	cases, err := Cases()
	if err != nil {
		t.Fatal(err)
	}
	now, names := time.Unix(1_700_000_000, 0), make(map[string]bool)
	good, err := m.Good(now)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		if c.Name == "" || names[c.Name] || c.Reason == "" {
			t.Errorf("%q, %q: the name must be unique and the reason there", c.Name, c.Reason)
		}
		names[c.Name] = true
		raw, err := m.Make(c, now)
		if err != nil || raw == good || strings.Contains(raw, "${") {
			t.Errorf("%s: %q, %v", c.Name, raw, err)
		}
	}
	if len(cases) != 153 {
		t.Errorf("%d cases: docs/corpus.md has another number", len(cases))
	}
}

func TestWords(t *testing.T) {
	w := words{now: 1000, texts: map[string]string{"token": "abcdef", "signature": "xyzA"}}
	for text, want := range map[string]string{
		"": "", "plain $ {x}": "plain $ {x}", "${token}!": "abcdef!", "${token:1:3}": "bc", "${token:-2:}": "ef", "${token::-1}": "abcde",
		"${now}": "1000", "${now+30}": "1030", "${now-30}.5": "970.5", "${3*ab}": "ababab", "${hex:00ff}": "\x00\xff", "${2*[}${2*]}": "[[]]",
		"${other-last-letter}": "B",
	} {
		if got, err := w.fill(text); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", text, got, err, want)
		}
	}
	for _, wrong := range []string{"${}", "${unknown}", "${unknown:1:}", "${token:9:}", "${token:3:1}", "${token:-9:}", "${hex:0}", "${now+}", "${now*2}", "${9999999*x}", "${now+99999999999999999999}"} {
		if got, err := w.fill("a" + wrong); err == nil {
			t.Errorf("%s: %q, want an error", wrong, got)
		}
	}
}

func TestUnknownSignature(t *testing.T) {
	if raw, err := maker(t).Make(Case{Name: "x", Signature: "wish"}, time.Now()); err == nil {
		t.Errorf("%q", raw)
	}
}

func TestWrong(t *testing.T) {
	refused := Case{Reason: token.ReasonExpired}
	for _, test := range []struct {
		answer  Answer
		reasons bool
		wrong   bool
	}{
		{Answer{Status: 403, Reason: token.ReasonExpired}, true, false},
		{Answer{Status: 403, Reason: token.ReasonReplayed}, true, true},
		{Answer{Status: 401}, false, false},
		{Answer{Status: 200, Reason: token.ReasonExpired}, false, true},
		{Answer{Status: 302}, false, true},
		{Answer{Status: 500, Reason: token.ReasonExpired}, false, true},
	} {
		if got := (Result{Case: refused, Answer: test.answer}).Wrong(test.reasons); (got != "") != test.wrong {
			t.Errorf("%+v, reasons %v: %q", test.answer, test.reasons, got)
		}
	}
}

func maker(t *testing.T) *Maker {
	t.Helper()
	m, err := NewMaker(Expected{Issuer: "https://frontend.example", Audience: "gs:games/one", Match: "m-1", Player: "ann", Team: "red"})
	if err != nil {
		t.Fatal(err)
	}
	return m
}
