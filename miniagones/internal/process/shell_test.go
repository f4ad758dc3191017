//go:build unix

package process

import (
	"strings"
	"testing"
)

func TestShell(t *testing.T) {
	for line, want := range map[string]string{
		"./srv":                               "exec ./srv",
		"  ./srv -log 'a && b'":               "  exec ./srv -log 'a && b'",
		"FOO=1 BAR='x y' ./srv":               "exec env FOO=1 BAR='x y' ./srv",
		"cd x && ./srv":                       "cd x && exec ./srv",
		"cd x; FOO=$PORT ./srv 2>&1":          "cd x; exec env FOO=$PORT ./srv 2>&1",
		"test -x a && ./a || ./b":             "test -x a && ./a || exec ./b",
		"\"./my srv\" $(echo -log)":           "exec \"./my srv\" $(echo -log)",
		">log ./srv":                          ">log exec ./srv",
		"exec ./srv":                          "exec ./srv",
		"./srv | tee log":                     "./srv | tee log",
		"./srv &":                             "./srv &",
		"(cd x; ./srv)":                       "(cd x; ./srv)",
		"f() { ./srv; }; f 1":                 "f() { ./srv; }; f 1",
		"A=1 B=x$A ./srv":                     "A=1 B=x$A ./srv",
		"A=1 B=${A:-2} C=$PORT ./srv":         "A=1 B=${A:-2} C=$PORT ./srv",
		"cd x":                                "cd x",
		"FOO=1":                               "FOO=1",
		"for i in 1 2; do ./srv $i; done":     "for i in 1 2; do ./srv $i; done",
		"ulimit -n 4096 &&\n./srv # as root?": "ulimit -n 4096 &&\nexec ./srv # as root?",
	} {
		got, err := shell(line)
		if err != nil || len(got) != 3 || got[2] != want {
			t.Errorf("%q: %q, %v, want %q", line, got, err, want)
		}
	}
	for _, line := range []string{"", "   ", "# nothing", "./srv 'open", "./srv &&", "if ./srv", "./srv )"} {
		if got, err := shell(line); err == nil || strings.TrimSpace(err.Error()) == "" {
			t.Errorf("%q: %q, want an error", line, got)
		}
	}
}
