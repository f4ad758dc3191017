// Package version says which build of Torikumi a program is: in its log at the
// start, for --version, and in reports of what went wrong on a player's path.
package version

import (
	"fmt"
	"runtime/debug"
	"strings"
)

// The linker sets both in images: -X torikumi/pkg/version.tag=v1.2.0, and
// revision as a whole commit, with "-dirty" behind it if the tree was changed.
var tag, revision string

// shortRevision is how many digits of a commit String shows.
const shortRevision = 12

// Tag is the last version before this build, or v0.0.0 if there is none.
func Tag() string {
	if tag != "" {
		return tag
	}
	return "v0.0.0"
}

// Revision is the commit that the program was built from, with "-dirty" behind
// it if files were changed, or "unknown".
func Revision() string {
	if revision != "" {
		return revision
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		return fromVCS(info.Settings)
	}
	return "unknown"
}

// fromVCS is the revision of a program that go build has stamped by itself.
func fromVCS(settings []debug.BuildSetting) string {
	commit, dirty := "unknown", ""
	for _, s := range settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	return commit + dirty
}

// String is both, the commit shortened: "v1.2.0 (0123456789ab)".
func String() string { return format(Tag(), Revision()) }

func format(tag, revision string) string {
	commit, dirty, found := strings.Cut(revision, "-")
	if found {
		dirty = "-" + dirty
	}
	return fmt.Sprintf("%s (%s%s)", tag, commit[:min(len(commit), shortRevision)], dirty)
}
