package join

import "strings"

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
