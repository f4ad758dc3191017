package attach

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "torikumi/miniagones/kubernetes/api/v1"
	"torikumi/pkg/rpc"
)

// eventTimeout is how long is waited for the event of a change that is seen.
const eventTimeout = 5 * time.Second

// warnings are what the cluster has said of a GameServer that went wrong. Events come after
// what they tell of.
func (c *Cluster) warnings(ctx context.Context, gs *v1.GameServer) string {
	ctx, cancel := context.WithTimeout(ctx, eventTimeout)
	defer cancel()
	backoff := rpc.Backoff{Min: 100 * time.Millisecond, Max: time.Second}
	for {
		list := new(corev1.EventList)
		err := c.client.List(ctx, list, client.InNamespace(gs.Namespace), client.MatchingFields{"involvedObject.uid": string(gs.UID)})
		if err != nil && !passing(err) {
			return fmt.Sprintf("why cannot be read: %v", c.explain(err))
		}
		var all []string
		for _, e := range list.Items {
			if e.Type == corev1.EventTypeWarning {
				all = append(all, cmp.Or(strings.TrimSpace(e.Message), e.Reason))
			}
		}
		if slices.Sort(all); len(all) > 0 {
			return strings.Join(slices.Compact(all), "; ")
		}
		if backoff.Wait(ctx) != nil {
			return "it has no event that says why"
		}
	}
}
