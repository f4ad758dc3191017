package attach

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "torikumi/miniagones/kubernetes/api/v1"
	"torikumi/pkg/agones"
	"torikumi/pkg/contract"
	"torikumi/pkg/rpc"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// leftovers are attached GameServers that nobody keeps: their mark is seen to stand still.
// As with the leases of Kubernetes, no clock but that of the observer matters, and of that
// only how much time passes.
type leftovers struct {
	times   Times
	address string // that is attached here
	seen    map[types.UID]sight
}

// sight is what one GameServer is seen to be like, and since when.
type sight struct {
	what    looks
	since   time.Time
	renewed bool
}

// looks are what changes while somebody keeps a GameServer, or sends a match to it.
type looks struct{ mark, state, match, admitted string }

// look takes a list of the attached GameServers, which was asked for at one time and came at
// another, and returns those that are left behind.
func (l *leftovers) look(list []v1.GameServer, asked, came time.Time) (left []v1.GameServer) {
	seen := make(map[types.UID]sight, len(list))
	for i := range list {
		gs := &list[i]
		now := sight{since: came, what: looks{
			mark: gs.Annotations[renewedAnnotation], state: gs.Status.State,
			match: gs.Labels[contract.MatchLabel], admitted: gs.Annotations[contract.AdmittedAnnotation],
		}}
		if last, known := l.seen[gs.UID]; known {
			now.renewed = last.renewed || now.what.mark != last.what.mark
			if now.what == last.what {
				now.since = last.since
			}
		}
		seen[gs.UID] = now
		if more, ends := l.beyond(gs); ends && asked.Sub(now.since)-l.times.Lease >= more {
			left = append(left, *gs)
		}
	}
	l.seen = seen
	return left
}

// beyond is for how long after the lease a GameServer is not taken for left behind; without
// an end it never is. The machine of one with a match may be out of the cluster's reach
// alone, and the match played on: it has until its own gate would have ended it. Whoever
// attaches at its address has its machine.
func (l *leftovers) beyond(gs *v1.GameServer) (more time.Duration, ends bool) {
	if gs.Status.State != agones.Allocated && gs.Status.State != agones.Reserved || addressOf(gs) == l.address {
		return 0, true
	}
	var own *torikumiv1.TimeLimits
	if roster, err := contract.DecodeRoster(gs.Annotations[contract.RosterAnnotation]); err == nil { // else the gate's times count
		own = roster.GetTimeLimits()
	}
	more, of := l.times.LongestMatch, own.GetLongestMatch()
	if match := gs.Labels[contract.MatchLabel]; gs.Status.State == agones.Allocated && match != "" && gs.Annotations[contract.AdmittedAnnotation] != match {
		more, of = l.times.NoShow, own.GetNoShow() // nobody has come
	}
	if d := of.AsDuration(); of.IsValid() && d > 0 {
		more = d
	}
	return more, more > 0
}

// forget begins anew, when the cluster was out of reach: it may have been for those too who
// keep the others.
func (l *leftovers) forget() { l.seen = nil }

// others lists the attached GameServers of the namespace that somebody keeps, or may keep,
// and deletes the rest, but never the one that is there now. Those that cannot be deleted
// are in the list.
func (a *attachment) others(ctx context.Context) ([]v1.GameServer, error) {
	c, list, asked := a.o.Cluster, new(v1.GameServerList), time.Now()
	if err := c.client.List(ctx, list, client.InNamespace(a.o.Namespace), client.MatchingLabels{Label: "true"}); err != nil {
		a.left.forget()
		return nil, fmt.Errorf("list GameServers: %w", err)
	}
	failed := false
	for _, gs := range a.left.look(list.Items, asked, time.Now()) {
		if own := a.own.Load(); own != nil && *own == gs.UID {
			continue
		}
		a.o.Logger.Info("removing a server that nobody keeps attached", "gameserver", gs.Name, "by", gs.Annotations[byAnnotation])
		switch removed, err := c.removeUnchanged(ctx, &gs); {
		case err != nil:
			failed = true
			a.sweeping.say(fmt.Errorf("delete GameServer %s: %w", gs.Name, err))
		case removed:
			list.Items = slices.DeleteFunc(list.Items, func(other v1.GameServer) bool { return other.UID == gs.UID })
		}
	}
	if !failed {
		a.sweeping.over()
	}
	return list.Items, nil
}

// claim waits until nobody has the address, and refuses one that somebody keeps attached.
func (a *attachment) claim(ctx context.Context) error {
	told := false
	for {
		list, err := a.others(ctx)
		if err != nil {
			return a.o.Cluster.explain(err)
		}
		i := slices.IndexFunc(list, func(gs v1.GameServer) bool { return addressOf(&gs) == a.left.address })
		if i < 0 {
			return nil
		}
		gs := &list[i]
		if a.left.seen[gs.UID].renewed {
			return fmt.Errorf("%s is attached already, as GameServer %s, by %s: detach it there", a.left.address, gs.Name, gs.Annotations[byAnnotation])
		}
		if !told {
			told = true
			news := News{Name: gs.Name, State: Claimed, By: gs.Annotations[byAnnotation]}
			if gs.Status.State == agones.Allocated {
				news.Match = gs.Labels[contract.MatchLabel]
			}
			a.tell(news)
		}
		if err := rpc.Sleep(ctx, a.o.Times.Renew/4); err != nil {
			return err
		}
	}
}

// addressOf is where players reach an attached server.
func addressOf(gs *v1.GameServer) string {
	if len(gs.Spec.Ports) != 1 {
		return ""
	}
	return address(gs.Annotations[agones.DevAddressAnnotation], gs.Spec.Ports[0].HostPort)
}

func address(host string, port int32) string { return net.JoinHostPort(host, strconv.Itoa(int(port))) }

// sweep deletes what others leave behind, until ctx ends.
func (a *attachment) sweep(ctx context.Context) {
	for range rpc.Ticks(ctx, a.o.Times.Renew) {
		if _, err := a.others(ctx); err != nil && !passing(err) && ctx.Err() == nil { // passing ones renew has too
			a.sweeping.say(err)
		}
	}
}
