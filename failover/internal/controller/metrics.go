package controller

import (
	"cmp"
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"k8s.io/apimachinery/pkg/api/meta"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/cloud"
)

// Metrics are the controller's. How many failovers are in which phase is
// counted when they are asked for.
type Metrics struct {
	transitions *prometheus.CounterVec
	calls       *prometheus.HistogramVec
	failures    *prometheus.CounterVec
	servers     *prometheus.CounterVec
	withdrawal  prometheus.Histogram
	insert      prometheus.Histogram
	taint       prometheus.Histogram
	orphans     prometheus.Counter
	vms         prometheus.Gauge
	cost        prometheus.Gauge
	atRisk      prometheus.Gauge
	drills      *prometheus.CounterVec
	requests    *prometheus.CounterVec
	open        *openFailovers
	watched     *watchedNodes
}

// delays are buckets for what the controller adds to a failover, in seconds.
var delays = []float64{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30}

// NewMetrics makes the metrics and registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	const ns = "torikumi_failover"
	auto := promauto.With(reg)
	open := &openFailovers{
		count: prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: ns, Name: "open_failovers", Help: "Failovers that are not over, by phase; drills do not count."}, []string{"phase"}),
		age:   prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: ns, Name: "open_failover_age_seconds", Help: "Age of the oldest failover in a phase; 0 if there is none."}, []string{"phase"}),
	}
	watched := &watchedNodes{count: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: ns, Name: "watched_nodes", Help: "Nodes with the label of --watched-label: when one of others dies, no failover is made."})}
	reg.MustRegister(open, watched)
	requests := auto.NewCounterVec(prometheus.CounterOpts{Namespace: ns, Name: "certificate_requests_total", Help: "Requests for a node's certificate that were made with the controller's tokens, by answer: approved or denied."}, []string{"answer"})
	for _, answer := range []string{approved, refused} { // an increase is seen from 0 on
		requests.WithLabelValues(answer)
	}
	drills := auto.NewCounterVec(prometheus.CounterOpts{Namespace: ns, Name: "drills_total", Help: "Drills that have ended, by the reason of their verdict; Passed is all well."}, []string{"verdict"})
	for _, verdict := range verdicts {
		drills.WithLabelValues(verdict)
	}
	return &Metrics{
		requests:    requests,
		open:        open,
		watched:     watched,
		transitions: auto.NewCounterVec(prometheus.CounterOpts{Namespace: ns, Name: "phases_entered_total", Help: "Failovers that have entered a phase."}, []string{"phase"}),
		calls:       auto.NewHistogramVec(prometheus.HistogramOpts{Namespace: ns, Name: "cloud_call_seconds", Help: "Calls of the cloud.", Buckets: delays}, []string{"call"}),
		failures:    auto.NewCounterVec(prometheus.CounterOpts{Namespace: ns, Name: "cloud_errors_total", Help: "Calls of the cloud that failed, by kind of error."}, []string{"call", "kind"}),
		servers:     auto.NewCounterVec(prometheus.CounterOpts{Namespace: ns, Name: "gameservers_deleted_total", Help: "Game servers deleted, by reason."}, []string{"why"}),
		withdrawal:  auto.NewHistogram(prometheus.HistogramOpts{Namespace: ns, Name: "withdrawal_delay_seconds", Help: "From the end of the grace until a Ready game server of the dead node is deleted, each.", Buckets: delays}),
		insert:      auto.NewHistogram(prometheus.HistogramOpts{Namespace: ns, Name: "insert_delay_seconds", Help: "From the end of the grace to the first insert.", Buckets: delays}),
		taint:       auto.NewHistogram(prometheus.HistogramOpts{Namespace: ns, Name: "taint_delay_seconds", Help: "From the Ready temporary node to the taint; waiting for fencing included.", Buckets: delays}),
		orphans:     auto.NewCounter(prometheus.CounterOpts{Namespace: ns, Name: "orphan_vms_total", Help: "VMs deleted that no failover claimed."}),
		vms:         auto.NewGauge(prometheus.GaugeOpts{Namespace: ns, Name: "vms", Help: "VMs of this cluster, by the cloud's list."}),
		cost:        auto.NewGauge(prometheus.GaugeOpts{Namespace: ns, Name: "cost_per_hour", Help: "What the VMs cost in an hour: what the cloud says, or else the price in --machines; 0 if neither does."}),
		atRisk:      auto.NewGauge(prometheus.GaugeOpts{Namespace: ns, Name: "nodes_at_risk", Help: "Watched Nodes without a provider id in a cluster with a cloud-controller-manager, which deletes them when they are NotReady."}),
		drills:      drills,
	}
}

// verdicts are the reasons of a drill's verdict.
var verdicts = []string{
	"Passed", "NotFit", "MetadataOpen", "ProbeFailed", "ProbeRefused", "VersionSkew", "NodeUnknown", "NodeNotReady", "NodeNotWatched", "InvalidLabels", "Duplicate",
	"Failover", "Yielded", "Cancelled", string(v1.GaveUpStockout), string(v1.GaveUpQuota), string(v1.GaveUpInvalid), string(v1.GaveUpForeign),
	string(v1.GaveUpNeverJoined), string(v1.GaveUpLost), string(v1.GaveUpLifetime), string(v1.GaveUpTokenRefused),
}

// The answers to certificate requests.
const approved, refused = "approved", "denied"

// openFailovers counts when it is asked, from the cache: a failover grows older without
// a change. Until the cache is there it has nothing to say.
type openFailovers struct {
	count, age *prometheus.GaugeVec
	list       atomic.Pointer[func() ([]v1.NodeFailover, time.Time, error)]
}

// Describe implements prometheus.Collector.
func (o *openFailovers) Describe(to chan<- *prometheus.Desc) {
	o.count.Describe(to)
	o.age.Describe(to)
}

// Collect implements prometheus.Collector.
func (o *openFailovers) Collect(to chan<- prometheus.Metric) {
	list := o.list.Load()
	if list == nil {
		return
	}
	all, now, err := (*list)()
	if err != nil {
		return // the cache ends with the process
	}
	counts, ages := make(map[v1.Phase]int), make(map[v1.Phase]time.Duration)
	for i := range all {
		if f := &all[i]; !f.Spec.Drill {
			phase := cmp.Or(f.Status.Phase, v1.Pending)
			counts[phase]++
			ages[phase] = max(ages[phase], now.Sub(f.CreationTimestamp.Time))
		}
	}
	for _, phase := range []v1.Phase{v1.Pending, v1.Creating, v1.Active, v1.Recovering, v1.Draining} {
		o.count.WithLabelValues(string(phase)).Set(float64(counts[phase]))
		o.age.WithLabelValues(string(phase)).Set(ages[phase].Seconds())
	}
	o.count.Collect(to)
	o.age.Collect(to)
}

// watchedNodes counts when it is asked, from the cache; until that is there it has
// nothing to say, as 0 is an alarm.
type watchedNodes struct {
	count prometheus.Gauge
	look  atomic.Pointer[func() (int, error)]
}

// Describe implements prometheus.Collector.
func (w *watchedNodes) Describe(to chan<- *prometheus.Desc) { w.count.Describe(to) }

// Collect implements prometheus.Collector.
func (w *watchedNodes) Collect(to chan<- prometheus.Metric) {
	look := w.look.Load()
	if look == nil {
		return
	}
	if n, err := (*look)(); err == nil { // the cache ends with the process
		w.count.Set(float64(n))
		w.count.Collect(to)
	}
}

// watchOpen lets the gauges of open failovers and of watched nodes read from the cache.
func (m *Metrics) watchOpen(o *Options) {
	look := func() (int, error) {
		ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
		defer cancel()
		watched, _, err := CountWatched(ctx, o.Client, o.Settings)
		return watched, err
	}
	m.watched.look.Store(&look)
	list := func() ([]v1.NodeFailover, time.Time, error) {
		ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
		defer cancel()
		var all v1.NodeFailoverList
		err := o.Client.List(ctx, &all, readOnly)
		return all.Items, o.Clock.Now(), err
	}
	m.open.list.Store(&list)
}

// transition counts the phase that f has entered; a drill only when it ends.
func (m *Metrics) transition(f *v1.NodeFailover) {
	switch c := meta.FindStatusCondition(f.Status.Conditions, v1.Rehearsed); {
	case !f.Spec.Drill:
		m.transitions.WithLabelValues(string(f.Status.Phase)).Inc()
	case c != nil && f.Status.Phase == v1.Completed:
		m.drills.WithLabelValues(c.Reason).Inc()
	}
}

func (m *Metrics) withdrawn(d time.Duration) { m.withdrawal.Observe(d.Seconds()) }
func (m *Metrics) inserted(d time.Duration)  { m.insert.Observe(d.Seconds()) }
func (m *Metrics) tainted(d time.Duration)   { m.taint.Observe(d.Seconds()) }
func (m *Metrics) orphan()                   { m.orphans.Inc() }
func (m *Metrics) serverDeleted(why string)  { m.servers.WithLabelValues(why).Inc() }

func (m *Metrics) requested(wrong error) {
	answer := approved
	if wrong != nil {
		answer = refused
	}
	m.requests.WithLabelValues(answer).Inc()
}

func (m *Metrics) call(name cloud.Call, err error, took time.Duration) {
	m.calls.WithLabelValues(string(name)).Observe(took.Seconds())
	if err != nil {
		m.failures.WithLabelValues(string(name), kind(err)).Inc()
	}
}

// kind names an error of the cloud's contract.
func kind(err error) string {
	return map[error]string{
		nil: "transient", cloud.ErrNotFound: "not_found", cloud.ErrForeign: "foreign", cloud.ErrStockout: "stockout",
		cloud.ErrQuota: "quota", cloud.ErrInvalid: "invalid",
	}[cloud.Kind(err)]
}

func (m *Metrics) instances(vms []cloud.Instance, prices map[cloud.Ref]float64) {
	m.vms.Set(float64(len(vms)))
	cost := 0.0
	for _, vm := range vms {
		if vm.HourlyCost > 0 {
			cost += vm.HourlyCost
		} else {
			cost += prices[vm.Ref]
		}
	}
	m.cost.Set(cost)
}
