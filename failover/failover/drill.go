package failover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/internal/controller"
	"torikumi/failover/internal/report"
	"torikumi/pkg/service"
)

const (
	// quiet is after how long without news it is said what is waited for.
	quiet = 15 * time.Second
	// cleaning is for how long a drill that was broken off is watched.
	cleaning = 2 * time.Minute
)

// drillConfig are the settings of `failover drill`.
type drillConfig struct {
	Kubeconfig string        `flag:"kubeconfig" help:"Kubeconfig file; none: $KUBECONFIG, ~/.kube/config, or that of the pod."`
	Node       string        `flag:"node" required:"its failover is rehearsed" help:"On-premises Node whose failover is rehearsed."`
	Timeout    time.Duration `flag:"timeout" default:"20m" rule:"positive" help:"Longest time; then the drill is broken off."`
}

// Drill rehearses the failover of a node, tells how it goes, and returns the
// exit code: 0 if all was right, 1 if not, 2 if it was called wrongly. The first interrupt breaks it off and waits
// for the clean-up, the second leaves at once.
func Drill(ctx context.Context, p service.Process, interrupts <-chan os.Signal) int {
	var cfg drillConfig
	return command("drill", &cfg, &cfg.Kubeconfig, p, func(kube *rest.Config) error {
		return drill(ctx, cfg, kube, p.Stdout, interrupts)
	})
}

// rehearsal is a drill that is being watched.
type rehearsal struct {
	c        client.WithWatch
	f        *v1.NodeFailover // as it was seen last
	out      io.Writer
	begun    time.Time
	progress *report.DrillProgress
	// broken is why it was broken off; the clean-up is being waited for.
	broken error
}

func drill(ctx context.Context, cfg drillConfig, kube *rest.Config, out io.Writer, interrupts <-chan os.Signal) error {
	scheme, err := controller.Scheme()
	if err != nil {
		return err
	}
	c, err := client.NewWithWatch(kube, client.Options{Scheme: scheme})
	if err != nil {
		return fmt.Errorf("connect to the cluster: %w", err)
	}
	f := &v1.NodeFailover{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "drill-" + cfg.Node + "-"},
		Spec:       v1.NodeFailoverSpec{OnpremNodeName: cfg.Node, Drill: true},
	}
	if err := c.Create(ctx, f); err != nil {
		return fmt.Errorf("make the drill: %w", missingKind(err))
	}
	now := time.Now()
	r := &rehearsal{c: c, f: f, out: out, begun: now, progress: report.NewDrillProgress(now)}
	r.say("drill %s for node %s; nothing is done to the node", f.Name, cfg.Node)
	ctx, cancel := context.WithCancel(ctx)
	seen, done := make(chan sight), make(chan struct{})
	go func() { defer close(done); r.watch(ctx, client.ObjectKeyFromObject(f), f.UID, seen) }()
	defer func() { cancel(); <-done }()
	return r.run(ctx, cfg, seen, interrupts)
}

func (r *rehearsal) run(ctx context.Context, cfg drillConfig, seen <-chan sight, interrupts <-chan os.Signal) error {
	patience := min(quiet, cfg.Timeout/2)
	hush := time.NewTimer(patience)
	defer hush.Stop()
	over := time.NewTimer(cfg.Timeout)
	defer over.Stop()
	for {
		select {
		case s := <-seen:
			if ended, err := r.see(s); ended {
				return err
			}
			hush.Reset(patience)
		case <-hush.C:
			r.say("%s", r.waitsFor())
			hush.Reset(patience)
		case <-over.C:
			if r.broken != nil {
				return fmt.Errorf("%w; what is left is the controller's to clear away, see `failover status`", r.broken)
			}
			r.breakOff(fmt.Errorf("not done within %s: %s", cfg.Timeout, r.waitsFor()))
			over.Reset(cleaning)
		case <-interrupts:
			if r.broken != nil {
				return fmt.Errorf("%w; left before the clean-up was over", r.broken)
			}
			r.breakOff(errors.New("interrupted"))
			over.Reset(cleaning)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *rehearsal) say(format string, args ...any) {
	fmt.Fprintf(r.out, "%6.1fs  %s\n", time.Since(r.begun).Seconds(), fmt.Sprintf(format, args...))
}

// see tells the news, and whether they are the last.
func (r *rehearsal) see(s sight) (ended bool, err error) {
	switch {
	case s.err != nil:
		r.say("the cluster can't be seen: %v", s.err)
		return false, nil
	case s.f == nil && r.broken != nil:
		r.say("the drill is gone")
		return true, r.broken
	case s.f == nil:
		return true, errors.New("somebody has deleted the drill")
	case !s.f.Spec.Drill: // the API server drops what it does not know
		r.breakOff(nil)
		return true, errors.New("the cluster's NodeFailover knows no drills: update its CRD (manifests/base/failover/crd)")
	}
	r.f = s.f
	for _, news := range r.progress.Update(s.f, time.Now()) {
		r.say("%s", news)
	}
	if s.f.Status.Phase != v1.Completed {
		return false, nil
	}
	fmt.Fprintln(r.out)
	if err := r.progress.Table(r.out); err != nil {
		return true, err
	}
	if r.broken != nil {
		return true, r.broken
	}
	return true, report.Verdict(s.f)
}

// waitsFor is what the drill waits for.
func (r *rehearsal) waitsFor() string {
	switch st := &r.f.Status; {
	case !report.TakenUp(r.f):
		return "no controller has taken it up: does one run, and not with --dry-run?"
	case st.Phase == v1.Creating && st.VM != nil && st.VM.GaveUp != "":
		return "waits until the VM that was given up is gone"
	case st.Phase == v1.Creating && st.VM != nil && st.VM.SeenAt != nil:
		return "waits for the VM's Node to be Ready"
	case st.Phase == v1.Pending || st.Phase == v1.Creating:
		return "waits for a VM"
	case st.Phase == v1.Draining && st.VMDeletionStartedAt != nil:
		return "waits for the VM's end"
	}
	return fmt.Sprintf("waits in phase %s", r.f.Status.Phase)
}

// breakOff deletes the drill, so that the controller clears away what there is.
func (r *rehearsal) breakOff(why error) {
	r.broken = why
	ctx, cancel := context.WithTimeout(context.Background(), quiet) // also if we are being ended
	defer cancel()
	err := r.c.Delete(ctx, r.f, client.Preconditions{UID: &r.f.UID})
	switch {
	case client.IgnoreNotFound(err) != nil:
		r.say("the drill could not be deleted (kubectl delete nf %s): %v", r.f.Name, err)
	case why != nil:
		r.say("%v: the drill is deleted, the controller clears away what there is", why)
	}
}

// sight is a drill as it is now, or that it is gone (nil), or why this is not
// known.
type sight struct {
	f   *v1.NodeFailover
	err error
}

// watch sends what happens to the drill until it is gone or ctx ends.
func (r *rehearsal) watch(ctx context.Context, key client.ObjectKey, uid types.UID, seen chan<- sight) {
	send := func(s sight) bool {
		select {
		case seen <- s:
			return true
		case <-ctx.Done():
			return false
		}
	}
	for ctx.Err() == nil {
		f := new(v1.NodeFailover)
		err := r.c.Get(ctx, key, f)
		if apierrors.IsNotFound(err) || err == nil && f.UID != uid {
			send(sight{})
			return
		}
		if err == nil {
			if !send(sight{f: f}) {
				return
			}
			err = r.follow(ctx, f, send)
		}
		if err != nil && !send(sight{err: err}) {
			return
		}
		select { // the watch ends now and then
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

// follow sends the changes of f until the watch ends.
func (r *rehearsal) follow(ctx context.Context, f *v1.NodeFailover, send func(sight) bool) error {
	w, err := r.c.Watch(ctx, new(v1.NodeFailoverList), client.MatchingFields{"metadata.name": f.Name},
		&client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: f.ResourceVersion}})
	if err != nil {
		return err
	}
	defer w.Stop()
	for e := range w.ResultChan() {
		f, ok := e.Object.(*v1.NodeFailover)
		if !ok || e.Type == watch.Deleted {
			return nil // the next read says what has happened
		}
		if !send(sight{f: f}) {
			return nil
		}
	}
	return nil
}
