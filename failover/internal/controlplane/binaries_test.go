package controlplane

import (
	"errors"
	"strings"
	"testing"

	"torikumi/pkg/kubebuild"
)

func TestFindSaysWhatToRun(t *testing.T) {
	t.Setenv(kubebuild.Env, "")
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	_, err := Find()
	if !errors.Is(err, ErrNotBuilt) || !strings.Contains(err.Error(), "make kubernetes") {
		t.Errorf("Find() with an empty cache = %v, want what to run", err)
	}
}
