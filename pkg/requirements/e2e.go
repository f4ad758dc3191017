package requirements

import (
	"os/exec"
	"strings"
)

// Browser are those of the client in TypeScript and its pages.
func Browser() List {
	return List{Programs: []Program{{Name: "npm", Package: "nodejs npm"}, Chromium()}}
}

// Chromium has several names; the smallest is the first.
func Chromium() Program {
	return Program{Name: "chromium-headless-shell", Package: "chromium-headless-shell", Others: []string{"chromium", "google-chrome"}}
}

// WasmInC are those of a module in C.
func WasmInC() List {
	return List{Programs: []Program{{Name: "clang", Package: "clang"}, {Name: "wasm-ld", Package: "lld"}}}
}

// NodeImage are those of the node image of failover; see DebianMirror besides.
func NodeImage() List {
	return List{Root: true, Programs: []Program{
		{Name: "debootstrap", Package: "debootstrap"}, {Name: "shellcheck", Package: "shellcheck"}, {Name: "gpg", Package: "gnupg"},
		{Name: "dpkg-deb", Package: "dpkg"}, {Name: "unshare", Package: "util-linux"}, {Name: "zstd", Package: "zstd"}, {Name: "chroot", Package: "coreutils"},
	}}
}

// Containerd are those of images in containerd.
func Containerd() List {
	return List{Root: true, Programs: []Program{
		{Name: "containerd", Package: "containerd"}, {Name: "ctr", Package: "containerd"}, {Name: "runc", Package: "runc"}, {Name: "shellcheck", Package: "shellcheck"},
	}}
}

// Suite are those of the suite on a cluster, beside the cluster's.
func Suite() List {
	return List{Programs: []Program{{Name: "redis-server", Package: "redis-server"}, {Name: "curl", Package: "curl"}, {Name: "jq", Package: "jq"}}}
}

// DebianMirror is Debian's archive, of which release 12 or 13, in apt's sources; empty: there
// is none.
func DebianMirror() (mirror string) {
	out, err := exec.Command("apt-get", "indextargets", "--no-release-info", "--format", "$(COMPONENT) $(RELEASE) $(REPO_URI)").Output()
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(out)) {
		// Debian's own archive, not security's nor others'.
		if f := strings.Fields(line); len(f) == 3 && f[0] == "main" && (f[1] == "bookworm" || f[1] == "trixie") {
			mirror = strings.TrimSuffix(f[2], "/")
		}
	}
	return mirror
}
