//go:build !unix

package clusterattach

import "syscall"

func ownGroup() *syscall.SysProcAttr { return nil }
