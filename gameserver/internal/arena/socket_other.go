//go:build !windows

package arena

// transient says whether a socket can be read again after this error.
func transient(error) bool { return false }
