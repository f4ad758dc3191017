package rpc_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"torikumi/pkg/rpc"
)

func TestHealth(t *testing.T) {
	failed := errors.New("refused")
	for name, tt := range map[string]struct {
		lost, back string
		want       []string
	}{
		"both messages": {"lost", "back", []string{
			"level=WARN msg=lost error=refused", "level=INFO msg=back", "level=WARN msg=lost error=refused",
		}},
		"no message for a recovery": {"lost", "", []string{"level=WARN msg=lost error=refused", "level=WARN msg=lost error=refused"}},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			noTime := func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			}
			h := rpc.NewHealth(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: noTime})), tt.lost, tt.back)
			h.Up()
			for range 3 {
				h.Down(failed)
			}
			for range 3 {
				h.Record(nil)
			}
			h.Record(failed)
			if got, want := out.String(), strings.Join(tt.want, "\n")+"\n"; got != want {
				t.Errorf("logged:\n%swant:\n%s", got, want)
			}
		})
	}
}
