package suite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"torikumi/pkg/contract"
	"torikumi/pkg/expression"
	"torikumi/pkg/queues"
	"torikumi/pkg/ruleset"
)

// fleetLabels are what the one fleet of this machine has to carry to serve all
// queues. Queues that cannot share a fleet are refused: their players would
// wait for ever.
func fleetLabels(set *queues.Set, namespace string) ([]string, error) {
	labels, of := map[string]string{contract.AllocatableLabel: "true"}, make(map[string]string)
	for _, q := range set.Queues {
		if ns := q.Allocation.Namespace; ns != "" && ns != namespace {
			return nil, fmt.Errorf("queue %q: allocation.namespace: on one machine all game servers are in %q, got %q", q.Name, namespace, ns)
		}
		wanted, err := wantedLabels(q.Allocation)
		if err != nil {
			return nil, fmt.Errorf("queue %q: %w", q.Name, err)
		}
		for k, v := range wanted {
			if have, ok := labels[k]; ok && have != v {
				return nil, fmt.Errorf("queue %q: allocation.labels: on one machine all queues share one fleet, and queue %q wants %s=%s, got %s", q.Name, of[k], k, have, v)
			}
			labels[k], of[k] = v, q.Name
		}
	}
	list := make([]string, 0, len(labels))
	for k, v := range labels {
		list = append(list, k+"="+v)
	}
	slices.Sort(list)
	return list, nil
}

// wantedLabels are what a server has to carry for a queue: by the first selector that
// servers of this fleet can fit.
func wantedLabels(a queues.Allocation) (map[string]string, error) {
	if len(a.Selectors) == 0 {
		return a.Labels, nil
	}
	if a.Shared() {
		return nil, errors.New("allocation.selectors: on one machine each server has a gate, which is for one match: none may have state Allocated")
	}
	for _, s := range a.Selectors {
		if len(s.Counters)+len(s.Lists) > 0 || s.Players != (queues.PlayerSelector{}) {
			continue
		}
		labels := maps.Clone(s.Labels)
		if labels == nil {
			labels = make(map[string]string)
		}
		maps.Copy(labels, a.Labels)
		return labels, nil
	}
	return nil, errors.New("allocation.selectors: on one machine the servers have no counters and lists: one selector must be for those that are Ready, by labels alone")
}

// watchQueues warns of a change of the queues that the fleet is not for. Director and
// frontend follow the file by themselves, and say what is wrong with it.
func (s *Suite) watchQueues(ctx context.Context) error {
	live, err := queues.NewLive(queues.LiveOptions{
		Path: s.opts.Queues, Checks: ruleset.Checks{Expression: expression.Check},
		Registry: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { _ = live.Run(ctx) }) // returns nil
	running.Go(func() {
		for {
			changed := live.Changed()
			if err := s.servable(live.Current()); err != nil {
				s.logger.Warn("the fleet is not for all queues any more: start again", "error", err)
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	})
	s.stopWatch = func() { cancel(); running.Wait() }
	return nil
}

// servable returns why the fleet, which is for the queues of the start, does not have
// the servers that others ask for.
func (s *Suite) servable(set *queues.Set) error {
	have, err := fleetLabels(s.queues, namespace)
	if err != nil {
		return err
	}
	want, err := fleetLabels(set, namespace)
	if err != nil {
		return err
	}
	for _, label := range want {
		if !slices.Contains(have, label) {
			return fmt.Errorf("allocation.labels: no game server has %s", label)
		}
	}
	return nil
}
