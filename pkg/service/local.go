package service

import (
	"net"
	"net/http"
	"slices"
	"strings"

	"torikumi/pkg/problem"
)

// LocalOnly guards an HTTP API that has no authentication because only this
// machine, or this pod, can reach it. A browser on it can be made to reach it
// too: by a request from a foreign page, and by a foreign name that suddenly
// means this machine (DNS rebinding). Both are refused: the Host has to be
// localhost, a loopback address or a name that nobody can own, as in an alias of
// a hosts file, and requests that change something must not come from another
// origin.
func LocalOnly(h http.Handler) http.Handler {
	h = http.NewCrossOriginProtection().Handler(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !LoopbackHost(r.Host) && !ownerless(r.Host) {
			problem.Write(w, http.StatusMisdirectedRequest, "this API is for this machine alone: the host must be localhost, a loopback address, or a name without a dot or in .localhost, .local, .internal or .test")
			return
		}
		h.ServeHTTP(w, r)
	})
}

// LoopbackHost reports whether a host, with or without a port, is localhost or a
// loopback address.
func LoopbackHost(hostport string) bool {
	host := hostOf(hostport)
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// ownerless reports whether a host is a name that nobody can register: one label,
// or one in a domain that is set aside for private use.
func ownerless(hostport string) bool {
	host := hostOf(hostport)
	if host == "" || net.ParseIP(host) != nil || strings.ContainsAny(host, ":/") {
		return false
	}
	labels := strings.Split(strings.ToLower(host), ".")
	last := labels[len(labels)-1]
	return last != "" && (len(labels) == 1 || slices.Contains([]string{"localhost", "local", "internal", "test"}, last))
}

// hostOf cuts off the port and the brackets of IPv6.
func hostOf(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	if n := len(host); n > 1 && host[0] == '[' && host[n-1] == ']' {
		host = host[1 : n-1]
	}
	return host
}
