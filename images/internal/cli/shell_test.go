package cli_test

import (
	"os/exec"
	"testing"
)

// TestShellcheck looks at the script of the image for Unreal servers, where shellcheck is
// installed: e2e asks for it.
func TestShellcheck(t *testing.T) {
	if _, err := exec.LookPath("shellcheck"); err != nil {
		t.Skip("shellcheck is not installed")
	}
	if out, err := exec.CommandContext(t.Context(), "shellcheck", root+"/images/unreal-server/entrypoint.sh").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
