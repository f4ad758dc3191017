package cli_test

import (
	"os"
	"os/exec"
	"testing"
)

// TestShellcheck looks at the script of the image for Unreal servers.
func TestShellcheck(t *testing.T) {
	if _, err := exec.LookPath("shellcheck"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("shellcheck is not installed")
		}
		t.Skip("shellcheck is not installed")
	}
	if out, err := exec.CommandContext(t.Context(), "shellcheck", root+"/images/unreal-server/entrypoint.sh").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
