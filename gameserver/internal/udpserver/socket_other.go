//go:build !windows

package udpserver

// transient reports whether a socket can be read again after this error.
func transient(error) bool { return false }
