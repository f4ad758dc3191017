package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// Stamp says what is built. Programs say it for --version, and images in their
// labels.
type Stamp struct {
	// Tag is the last version before the commit, or v0.0.0.
	Tag string
	// Revision is the commit, with "-dirty" behind it if files were changed.
	Revision string
	// Time is when the commit was made. All files in images have it.
	Time time.Time
}

// ReadStamp asks git. epoch, if not empty, is the time in place of the commit's,
// in seconds, as SOURCE_DATE_EPOCH has it.
func ReadStamp(ctx context.Context, source, epoch string) (Stamp, error) {
	commit, err := git(ctx, source, "show", "--no-patch", "--no-show-signature", "--format=%H %ct", "HEAD")
	if err != nil {
		return Stamp{}, fmt.Errorf("read the commit: %w", err)
	}
	revision, seconds, _ := strings.Cut(commit, " ")
	changes, err := git(ctx, source, "status", "--porcelain")
	if err != nil {
		return Stamp{}, fmt.Errorf("look for changed files: %w", err)
	}
	if changes != "" {
		revision += "-dirty"
	}
	tag, err := git(ctx, source, "describe", "--tags", "--abbrev=0", "HEAD")
	if err != nil {
		tag = "v0.0.0" // there is no tag
	}
	if epoch != "" {
		seconds = epoch
	}
	at, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil || at < 0 {
		return Stamp{}, fmt.Errorf("SOURCE_DATE_EPOCH: must be seconds since 1970, got %q", seconds)
	}
	return Stamp{tag, revision, time.Unix(at, 0).UTC()}, nil
}

func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", errors.Join(fmt.Errorf("git %s: %w", args[0], err), errors.New(strings.TrimSpace(stderr.String())))
	}
	return strings.TrimSpace(string(out)), nil
}
