package udpserver

import (
	"errors"
	"syscall"
)

const wsaMessageSize = syscall.Errno(10040)

// transient reports whether a socket can be read again after this error: Windows
// reports that an earlier datagram found nobody, or that one was too long.
func transient(err error) bool {
	return errors.Is(err, syscall.WSAECONNRESET) || errors.Is(err, wsaMessageSize)
}
