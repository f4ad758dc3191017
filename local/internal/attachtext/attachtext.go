// Package attachtext is what torikumi attach prints, whatever the server is attached to.
package attachtext

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
)

// Server is where a server that is attached is reached, and what is there for it.
type Server struct {
	Host                         string
	Port, SDKGRPC, SDKHTTP, Gate int
}

// Banner says that a server is attached, how it is started, and how players come to it.
// To is what it is attached to, program what torikumi is called, players how they come in.
func (s Server) Banner(w io.Writer, to, program string, env []string, players ...string) {
	fmt.Fprintf(w, "%s:%d is attached to %s. Ctrl-C detaches it.\n", s.Host, s.Port, to)
	if !ofThisMachine(s.Host) {
		fmt.Fprintf(w, "No network interface of this machine has %s (--host): something else has to pass players on, as a router does.\n", s.Host)
	}
	fmt.Fprint(w, "\nStart the game server with these variables, unless it has these ports by itself:\n\n")
	for _, variable := range env {
		fmt.Fprintln(w, "  "+variable)
	}
	fmt.Fprintf(w, "\nThe reference server, in place of yours:\n\n  %s server --udp-listen=%s --sdk-grpc-port=%d --gate=http://127.0.0.1:%d\n\n",
		program, net.JoinHostPort(s.listenHost(), strconv.Itoa(s.Port)), s.SDKGRPC, s.Gate)
	for _, line := range players {
		fmt.Fprintln(w, line)
	}
	fmt.Fprintln(w)
}

// listenHost is where the server listens for players who come to Host.
func (s Server) listenHost() string {
	if ofThisMachine(s.Host) {
		return s.Host
	}
	return "0.0.0.0"
}

// ofThisMachine reports whether an address is one of an interface; it is, if they cannot be
// known.
func ofThisMachine(host string) bool {
	ip := net.ParseIP(host)
	all, err := net.InterfaceAddrs()
	return err != nil || ip.IsLoopback() || slices.ContainsFunc(all, func(a net.Addr) bool {
		n, ok := a.(*net.IPNet)
		return ok && n.IP.Equal(ip)
	})
}

// PortTaken adds to an error which setting chooses another port, if it is of a port that
// cannot be listened on. It may come from another process: its text says which it is.
func (s Server) PortTaken(err error) error {
	for _, p := range []struct {
		setting string
		port    int
	}{{"--sdk-grpc-port", s.SDKGRPC}, {"--sdk-http-port", s.SDKHTTP}, {"--gate-port", s.Gate}} {
		if strings.Contains(err.Error(), fmt.Sprintf("127.0.0.1:%d: bind: ", p.port)) {
			return fmt.Errorf("%w. %s chooses another; beside another attach of this machine --port, --sdk-grpc-port, --sdk-http-port and --gate-port have to be others, all four", err, p.setting)
		}
	}
	return err
}
