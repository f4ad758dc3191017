package join

import (
	"regexp"
	"strings"
)

// MayRegister reports whether a kubelet may register a label of that key by
// itself. With one that it may not, it does not start.
func MayRegister(key string) bool {
	domain, _, ok := strings.Cut(key, "/")
	if !ok {
		return true
	}
	in := func(parent string) bool { return domain == parent || strings.HasSuffix(domain, "."+parent) }
	return !in("kubernetes.io") && !in("k8s.io") || domain == "node.kubernetes.io" || domain == "kubelet.kubernetes.io"
}

// args are flags that need no quotes, in a file that a shell reads too.
var args = regexp.MustCompile(`^--[a-z][-a-z0-9]*(=[-A-Za-z0-9_.,:/=@%+<]*)?( --[a-z][-a-z0-9]*(=[-A-Za-z0-9_.,:/=@%+<]*)?)*$`)

// MayBeArgs reports whether a text can be added to the kubelet's flags.
func MayBeArgs(text string) bool { return args.MatchString(text) }
