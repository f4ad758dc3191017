package queues

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"torikumi/pkg/config"
	"torikumi/pkg/ruleset"
)

// Source says which queues are in force. It is safe for concurrent use.
type Source interface {
	// Current returns the queues that are in force.
	Current() *Set
	// Changed returns a channel that is closed when other queues than Current's of
	// just before are in force; nil if there never are any. Who calls it before
	// Current misses no change.
	Changed() <-chan struct{}
}

// Current makes a Set the Source of itself.
func (s *Set) Current() *Set { return s }

// Changed is nil: a Set stays as it is.
func (*Set) Changed() <-chan struct{} { return nil }

// readEvery is the time between two readings of the files. A change is in force
// after the second reading that finds it: within twice this time.
const readEvery = 500 * time.Millisecond

// LiveOptions say what a Live reads; those without a note are required.
type LiveOptions struct {
	// Path of queues.yaml; empty: Default, for ever.
	Path string
	// Checks of the rule sets; none when zero.
	Checks ruleset.Checks
	// Accept returns why a service cannot work with queues that are right in
	// themselves; nil accepts all.
	Accept   func(*Set) error
	Registry prometheus.Registerer
	Logger   *slog.Logger
}

// Live is a Source that follows its files: queues.yaml and the rule sets that it
// names. It reads them twice a second. Whatever has changed, a file or all of them,
// is in force as one, as soon as two readings in a row have found the same: a file
// that is being written, or one of several that are being exchanged, is not taken
// for what is meant. What cannot be read or has a mistake changes nothing; log and
// metrics say so.
type Live struct {
	o       LiveOptions
	current atomic.Pointer[version]
	metrics liveMetrics
	// loaded is what the queues in force were read from. Only Run uses it.
	loaded *snapshot
}

// version is a Set while it is in force; replaced is closed when it no longer is.
type version struct {
	set      *Set
	replaced chan struct{}
}

type liveMetrics struct {
	successful, successTime prometheus.Gauge
	info                    *prometheus.GaugeVec
}

// NewLive reads the files for the first time; Run follows them.
func NewLive(o LiveOptions) (*Live, error) {
	f := promauto.With(o.Registry)
	l := &Live{o: o, metrics: liveMetrics{
		successful: f.NewGauge(prometheus.GaugeOpts{Name: "torikumi_queues_last_reload_successful",
			Help: "1 if what the queues' files hold is in force, 0 if it cannot be: the queues from before are."}),
		successTime: f.NewGauge(prometheus.GaugeOpts{Name: "torikumi_queues_last_reload_success_timestamp_seconds",
			Help: "When the queues that are in force were read."}),
		info: f.NewGaugeVec(prometheus.GaugeOpts{Name: "torikumi_queues_info",
			Help: "1, with the digest of the queues' files that are in force."}, []string{"digest"}),
	}}
	if o.Path == "" {
		l.use(Default(), "default")
		return l, nil
	}
	read := readSnapshot(o.Path)
	set, err := l.judge(read)
	if err != nil {
		return nil, err
	}
	l.loaded = read
	l.use(set, read.digest())
	return l, nil
}

// Current implements Source.
func (l *Live) Current() *Set { return l.current.Load().set }

// Changed implements Source.
func (l *Live) Changed() <-chan struct{} { return l.current.Load().replaced }

// judge returns the queues that were read, or what is wrong with them.
func (l *Live) judge(read *snapshot) (*Set, error) {
	set, err := read.parse(l.o.Path, l.o.Checks)
	if err != nil || l.o.Accept == nil {
		return set, err
	}
	if err := l.o.Accept(set); err != nil {
		return nil, config.Within("queues in "+l.o.Path, err)
	}
	return set, nil
}

// use puts queues in force.
func (l *Live) use(set *Set, digest string) {
	if old := l.current.Swap(&version{set: set, replaced: make(chan struct{})}); old != nil {
		close(old.replaced)
	}
	l.metrics.info.Reset()
	l.metrics.info.WithLabelValues(digest).Set(1)
	l.metrics.successTime.SetToCurrentTime()
	l.metrics.successful.Set(1)
}

// Run follows the files until ctx ends; then it returns nil.
func (l *Live) Run(ctx context.Context) error {
	if l.o.Path == "" {
		<-ctx.Done()
		return nil
	}
	ticker := time.NewTicker(readEvery)
	defer ticker.Stop()
	for last, judged := l.loaded, l.loaded; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		read := readSnapshot(l.o.Path)
		stable := read.equal(last)
		if last = read; stable && !read.equal(judged) {
			judged = read
			l.reload(read)
		}
	}
}

// reload puts what was read in force, if it is right.
func (l *Live) reload(read *snapshot) {
	if read.equal(l.loaded) {
		l.metrics.successful.Set(1)
		l.o.Logger.Info("queues are again what is in force", "file", l.o.Path)
		return
	}
	set, err := l.judge(read)
	if err != nil {
		l.metrics.successful.Set(0)
		l.o.Logger.Error("queues not reloaded: those from before stay in force", "file", l.o.Path, "error", err)
		return
	}
	before := l.Current()
	l.loaded = read
	l.use(set, read.digest())
	l.o.Logger.Info("queues reloaded", "file", l.o.Path, "queues", set.Names(), "removed", without(before.Names(), set))
}

// without returns the names that no queue of a set has.
func without(names []string, set *Set) []string {
	var gone []string
	for _, name := range names {
		if _, ok := set.Get(name); !ok {
			gone = append(gone, name)
		}
	}
	return gone
}
