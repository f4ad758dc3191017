package clusterattach

import (
	"context"
	"time"

	"torikumi/miniagones/kubernetes/attach"
	"torikumi/pkg/service"
)

// Times are shorter than those of Main.
var Times = attach.Times{Renew: 300 * time.Millisecond, Lease: 8 * time.Second, Patience: time.Second}

// MainSoon is Main with Times.
func MainSoon(ctx context.Context, p service.Process) int { return program(ctx, p, Times) }
