package redisstore

import (
	_ "embed"

	"github.com/redis/go-redis/v9"
)

// Each script is atomic, and may be run again when its answer was lost. Times are
// microseconds of the callers' clocks, since Redis's own is nobody's business
// but that of the frontends list.
var (
	//go:embed create.lua
	createSource string
	//go:embed swap.lua
	swapSource string
	//go:embed assign.lua
	assignSource string
	//go:embed forget.lua
	forgetSource string
	//go:embed keep.lua
	keepSource string
	//go:embed alive.lua
	aliveSource string

	createScript = redis.NewScript(createSource)
	swapScript   = redis.NewScript(swapSource)
	assignScript = redis.NewScript(assignSource)
	forgetScript = redis.NewScript(forgetSource)
	keepScript   = redis.NewScript(keepSource)
	aliveScript  = redis.NewScript(aliveSource)
)
