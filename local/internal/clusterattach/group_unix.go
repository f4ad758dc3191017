//go:build unix

package clusterattach

import "syscall"

// ownGroup keeps a process out of what a terminal sends to the others, from its beginning.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
