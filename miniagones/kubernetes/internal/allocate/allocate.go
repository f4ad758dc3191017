// Package allocate hands out the game servers of a cluster. On the player's path
// a match gets its game server here. Any number of processes may do it at a time:
// an allocation changes one version of a GameServer, and only one of those who try
// the same succeeds.
package allocate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"torikumi/miniagones/internal/counts"
	"torikumi/miniagones/internal/state"
	v1 "torikumi/miniagones/kubernetes/api/v1"
	"torikumi/miniagones/kubernetes/internal/kube"
	"torikumi/pkg/agones"
)

// What keeps an allocation from a server.
var (
	// ErrNoneFits: no server fits.
	ErrNoneFits = errors.New("no game server fits")
	// ErrContention: others were quicker, again and again.
	ErrContention = errors.New("too many allocations at a time")
)

// Selector says which servers an allocation would take.
type Selector struct {
	Labels labels.Selector
	// State is Ready, or Allocated.
	State state.State
	// Counts bound the server's counters and lists.
	Counts counts.Selector
}

// Request asks for one server.
type Request struct {
	Namespace string
	// Selectors in order of preference.
	Selectors []Selector
	// Spread takes any server that fits; else one on the node that has the most.
	Spread bool
	// Priorities choose among the servers that fit a selector: of those on one node,
	// or of all with Spread.
	Priorities []counts.Priority
	// Labels and Annotations are put on the server in the same step, and Actions
	// are done.
	Labels, Annotations map[string]string
	Actions             counts.Actions
}

// attempts is how many servers an allocation tries.
const attempts = 16

// Allocator allocates. It is safe for concurrent use.
type Allocator struct {
	client client.Client
	live   client.Reader

	mu sync.Mutex
	// known has versions that are newer than the cache's, as far as we have seen
	// them: what was just allocated must not be tried again.
	known map[types.UID]*v1.GameServer
	// gone has the versions of servers that are no more, though the cache has
	// them.
	gone map[types.UID]string
	// busy are servers that an allocation of ours is about to change.
	busy map[types.UID]bool
}

// New makes an Allocator. c reads from a cache, live asks the API server.
func New(c client.Client, live client.Reader) *Allocator {
	return &Allocator{client: c, live: live, known: make(map[types.UID]*v1.GameServer), gone: make(map[types.UID]string), busy: make(map[types.UID]bool)}
}

// Allocate picks a server, makes it Allocated and returns that version. Other
// errors than ErrNoneFits and ErrContention are those of the API server; after
// one of them the server may be allocated all the same.
func (a *Allocator) Allocate(ctx context.Context, req Request) (*v1.GameServer, error) {
	for range attempts {
		gs, contended, err := a.pick(ctx, req)
		if err != nil {
			return nil, err
		}
		if gs == nil && contended {
			if err := pause(ctx); err != nil {
				return nil, err
			}
			continue
		}
		if gs == nil {
			return nil, ErrNoneFits
		}
		allocated, err := a.take(ctx, gs, req)
		switch {
		case err == nil:
			return allocated, nil
		case apierrors.IsConflict(err), apierrors.IsNotFound(err):
			a.refresh(ctx, gs)
		default:
			return nil, fmt.Errorf("allocate game server %q: %w", gs.Name, err)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return nil, ErrContention
}

// pick chooses a server and keeps our other allocations from it. contended says
// that there would have been one that is busy.
func (a *Allocator) pick(ctx context.Context, req Request) (chosen *v1.GameServer, contended bool, err error) {
	list := new(v1.GameServerList)
	if err := a.client.List(ctx, list, client.InNamespace(req.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, false, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	servers := a.newest(list.Items)
	order(servers, req)
	for _, sel := range req.Selectors {
		for _, gs := range servers {
			if gs.Status.State != string(sel.State) || !gs.DeletionTimestamp.IsZero() || !sel.Labels.Matches(labels.Set(gs.Labels)) ||
				!sel.Counts.Matches(kube.Counts(gs)) {
				continue
			}
			if a.busy[gs.UID] {
				contended = true
				continue
			}
			a.busy[gs.UID] = true
			return gs, false, nil
		}
	}
	return nil, contended, nil
}

// newest replaces what the cache has by what we know to be newer, and forgets what
// the cache has caught up with. The caller holds mu.
func (a *Allocator) newest(cached []v1.GameServer) []*v1.GameServer {
	servers := make([]*v1.GameServer, 0, len(cached))
	for i := range cached {
		gs := &cached[i]
		if a.gone[gs.UID] == gs.ResourceVersion {
			continue
		}
		if k := a.known[gs.UID]; k != nil {
			if older, err := resourceversion.CompareResourceVersion(gs.ResourceVersion, k.ResourceVersion); err == nil && older < 0 {
				gs = k
			} else {
				delete(a.known, gs.UID)
			}
		}
		servers = append(servers, gs)
	}
	return servers
}

// order puts servers on full nodes first, or mixes them, and then goes by priorities.
func order(servers []*v1.GameServer, req Request) {
	first := func(x, y *v1.GameServer) int {
		if len(req.Priorities) == 0 {
			return 0
		}
		return counts.Compare(req.Priorities, kube.Counts(x), kube.Counts(y))
	}
	if req.Spread {
		rand.Shuffle(len(servers), func(i, j int) { servers[i], servers[j] = servers[j], servers[i] })
		slices.SortStableFunc(servers, first)
		return
	}
	load := make(map[string]int)
	for _, gs := range servers {
		if gs.Status.State == agones.Ready || gs.Status.State == agones.Allocated {
			load[gs.Status.NodeName]++
		}
	}
	slices.SortFunc(servers, func(x, y *v1.GameServer) int {
		return cmp.Or(cmp.Compare(load[y.Status.NodeName], load[x.Status.NodeName]),
			cmp.Compare(x.Status.NodeName, y.Status.NodeName), first(x, y), cmp.Compare(x.Name, y.Name))
	})
}

// take changes a server, if it is still the version that was picked.
func (a *Allocator) take(ctx context.Context, gs *v1.GameServer, req Request) (*v1.GameServer, error) {
	next := gs.DeepCopy()
	next.Labels = with(gs.Labels, req.Labels)
	next.Annotations = with(gs.Annotations, req.Annotations)
	next.Annotations[agones.LastAllocatedAnnotation] = time.Now().Format(time.RFC3339Nano)
	next.Status.State = agones.Allocated
	if len(req.Actions.Counters)+len(req.Actions.Lists) > 0 {
		kube.SetCounts(next, req.Actions.Apply(kube.Counts(gs)))
	}
	err := a.client.Patch(ctx, next, client.MergeFromWithOptions(gs, client.MergeFromWithOptimisticLock{}))
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.busy, gs.UID)
	if err != nil {
		return nil, err
	}
	a.known[next.UID] = next
	return next, nil
}

// refresh learns how a server is that others have changed.
func (a *Allocator) refresh(ctx context.Context, gs *v1.GameServer) {
	now := new(v1.GameServer)
	err := a.live.Get(ctx, client.ObjectKeyFromObject(gs), now)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil || now.UID != gs.UID {
		// If it could not be read, it rests until the cache has a newer version.
		a.gone[gs.UID] = gs.ResourceVersion
		return
	}
	a.known[gs.UID] = now
}

// pause lets our other allocations end.
func pause(ctx context.Context) error {
	select {
	case <-time.After(5 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Forget drops what is known of a server that is gone.
func (a *Allocator) Forget(uid types.UID) {
	a.mu.Lock()
	delete(a.known, uid)
	delete(a.gone, uid)
	a.mu.Unlock()
}

func with(m, more map[string]string) map[string]string {
	out := make(map[string]string, len(m)+len(more))
	maps.Copy(out, m)
	maps.Copy(out, more)
	return out
}
