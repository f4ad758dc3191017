package config_test

import (
	"errors"
	"fmt"
	"testing"

	"torikumi/pkg/config"
)

func TestWithin(t *testing.T) {
	a, b, c := errors.New("a"), errors.New("b"), errors.New("c")
	for _, tt := range []struct {
		err  error
		want string
	}{
		{a, "--x: a"},
		{errors.Join(a, b), "--x: a\n--x: b"},
		{errors.Join(a, errors.Join(b, c)), "--x: a\n--x: b\n--x: c"},
		{config.Within("file", errors.Join(a, b)), "--x: file: a\n--x: file: b"},
		{fmt.Errorf("both %w and %w", a, b), "--x: both a and b"},
	} {
		if got := config.Within("--x", tt.err); got.Error() != tt.want || !errors.Is(got, a) {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
	if err := config.Within("--x", nil); err != nil {
		t.Error(err)
	}
}
