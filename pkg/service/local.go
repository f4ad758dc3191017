package service

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"torikumi/pkg/problem"
)

// LocalOnly guards an HTTP API that has no authentication because only this
// machine, or this pod, can reach it. A browser on it can be made to reach it
// too: by a request from a foreign page, and by a foreign name that suddenly
// means this machine (DNS rebinding). Both are refused: the Host has to be
// localhost or a loopback address, and requests that change something must not
// come from another origin.
func LocalOnly(h http.Handler) http.Handler { return local(h, nil, nil) }

// LocalWithPages is LocalOnly for an API that pages of these origins may use.
func LocalWithPages(h http.Handler, origins []string) http.Handler { return local(h, nil, origins) }

// LocalOrNamed is LocalOnly for an API that is also reached by these names, in
// lower case and without a port, where a hosts file has them for this machine.
// Whoever can make a browser resolve one of them gets past the guard: name no
// domain that others can have.
func LocalOrNamed(h http.Handler, names []string) http.Handler { return local(h, names, nil) }

// local guards h. It panics for what is no origin.
func local(h http.Handler, names, origins []string) http.Handler {
	protection := http.NewCrossOriginProtection()
	for _, o := range origins {
		if err := protection.AddTrustedOrigin(o); err != nil {
			panic(err)
		}
	}
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		problem.Write(w, http.StatusForbidden, "pages of other origins may not use this API")
	}))
	h = protection.Handler(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !LoopbackHost(r.Host) && !slices.ContainsFunc(names, func(name string) bool { return isName(hostOf(r.Host), name) }) {
			problem.Write(w, http.StatusMisdirectedRequest, "this API is for this machine alone: the host must be "+
				strings.Join(append([]string{"localhost", "a loopback address"}, names...), " or "))
			return
		}
		h.ServeHTTP(w, r)
	})
}

// LocalOrigin reports whether a request that opens a WebSocket comes from no page, or from
// one of this machine. Browsers let any page open one, and engines send an Origin too,
// some of them without the port.
func LocalOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && LoopbackHost(u.Host)
}

// LoopbackHost reports whether a host, with or without a port, is localhost or a
// loopback address.
func LoopbackHost(hostport string) bool {
	host := hostOf(hostport)
	ip := net.ParseIP(host)
	return isName(host, "localhost") || (ip != nil && ip.IsLoopback())
}

// isName reports whether a host is a name: letter case does not matter, nor whether it ends with
// the dot of the root.
func isName(host, name string) bool { return strings.EqualFold(strings.TrimSuffix(host, "."), name) }

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
