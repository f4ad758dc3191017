// Package failover starts the failover controller: it replaces on-premises
// nodes that die by temporary VMs of a cloud, moves game servers there,
// and back. No player's request passes it; what it does badly, all of a node's
// players feel.
package failover

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/client-go/tools/leaderelection"

	"torikumi/failover/internal/decide"
	"torikumi/failover/internal/join"
	"torikumi/pkg/config"
	"torikumi/pkg/service"
)

// Config are the settings of the failover controller.
type Config struct {
	service.Config
	GCE
	Exec

	HTTPListen string        `flag:"http-listen" default:"127.0.0.1:51550" rule:"listen" help:"Address of the HTTP server (health, readiness, metrics); port 0 is any free one."`
	Kubeconfig string        `flag:"kubeconfig" help:"Kubeconfig file; none: the access of the pod."`
	Namespace  string        `flag:"namespace" default:"torikumi" required:"the lease is in it" help:"Namespace of the lease by which one replica leads."`
	DryRun     bool          `flag:"dry-run" default:"false" help:"Change nothing, neither in the cluster nor in the cloud, and take no lease; log what would be done."`
	Check      bool          `flag:"check" default:"false" help:"Look at what a failover needs (cluster, cloud, the versions of the image and of the API server), print a line for each, change nothing and end; with 1 if anything fails."`
	Lease      time.Duration `flag:"lease-duration" default:"15s" rule:"positive" help:"How long a leader that was killed keeps the others from leading, and at the same time what the API server may be out of reach before a leader ends."`
	LeaseRenew time.Duration `flag:"lease-renew-deadline" default:"10s" rule:"positive" help:"How long a leader tries to renew its lease before it ends; shorter than --lease-duration."`
	LeaseRetry time.Duration `flag:"lease-retry-period" default:"2s" rule:"positive" help:"How often the lease is renewed by the leader, and looked at by the others."`
	Provider   string        `flag:"provider" default:"gce" help:"Who makes VMs: gce or exec."`

	WatchedLabel  string   `flag:"watched-label" default:"node-restriction.kubernetes.io/node-type=onpremise" help:"Label of the Nodes that are watched, key=value. A kubelet can give itself any label but those of node-restriction.kubernetes.io/."`
	TempLabels    []string `flag:"temp-labels" default:"node-type=gcp-temporary,node-location=gcp" required:"temporary Nodes are recognised by them" help:"Labels of temporary Nodes, key=value, comma-separated."`
	CopyLabels    []string `flag:"copy-labels" default:"hardware" help:"Keys of labels that temporary Nodes get from the Node that they stand in for."`
	RestoreLabels []string `flag:"restore-labels" help:"Keys of labels of node-restriction.kubernetes.io/ that a Node gets back which was deleted while it was down, besides that of --watched-label, comma-separated. Other labels come back in any case. The admission policy torikumi-failover-nodes has to name them too."`
	Tolerated     []string `flag:"tolerated-taints" help:"Keys of taints that temporary Nodes may have because game servers tolerate them, comma-separated. With any other taint that keeps pods away, a temporary node is not taken for Ready."`
	TempTaints    []string `flag:"temp-taints" help:"Taints that temporary Nodes register with, key=value:Effect, comma-separated, so that only what tolerates them comes there: game servers have to. They count as --tolerated-taints."`
	Fencing       string   `flag:"fencing" default:"None" rule:"None, Manual or Webhook" help:"How it is made sure that a node is off before its pods are deleted: None, Manual (annotation) or Webhook."`
	FencingURL    string   `flag:"fencing-url" help:"Webhook that is asked to turn a node off, see docs/failover-reference.md; any 2xx answer confirms that it is."`
	InitNodes     bool     `flag:"init-nodes" default:"false" help:"Initialise temporary Nodes (addresses, provider id), because no cloud-controller-manager does."`
	ExternalCloud bool     `flag:"external-cloud" default:"true" help:"Start kubelets with --cloud-provider=external."`

	Grace         time.Duration `flag:"grace" default:"30s" rule:"positive" help:"How long a node may be NotReady before anything is done."`
	TaintGrace    time.Duration `flag:"taint-grace" default:"0s" rule:"at least 0" help:"How long nothing may have been heard of a node before it is tainted, which ends its games; 0: as long as --grace."`
	FalseGrace    time.Duration `flag:"ready-false-grace" default:"5m" rule:"positive" help:"The grace of a node whose kubelet itself reports that it is not Ready (Ready is False, not Unknown), and renews its lease; --grace, if that is longer. It is not tainted."`
	FalseStartsVM bool          `flag:"ready-false-starts-vm" default:"true" help:"Make a VM for such a node after its grace."`
	CordonedGrace time.Duration `flag:"cordoned-grace" default:"10m" rule:"positive" help:"The grace of a node that was cordoned before it failed, because somebody upgrades or reboots it; --grace, if that is longer. The taint waits for as long."`
	Stability     time.Duration `flag:"stability" default:"1m" rule:"positive" help:"How long a node must be Ready again before its temporary node is drained."`
	StabilityMax  time.Duration `flag:"stability-max" default:"30m" rule:"positive" help:"What --stability grows to for a node that fails again and again: it doubles with each failure within --flap-window."`
	FlapWindow    time.Duration `flag:"flap-window" default:"2h" rule:"positive" help:"For how long a failure of a node is remembered."`
	EmptyStartsVM bool          `flag:"empty-node-starts-vm" default:"false" help:"Make a VM for a node on which no game server ran when it failed."`
	MaxWait       time.Duration `flag:"max-wait" default:"3h" rule:"positive" help:"How long game servers in use may stay on a temporary node that is drained."`
	ReturnTimeout time.Duration `flag:"return-timeout" default:"15m" rule:"positive" help:"How long Ready game servers of a temporary node that is drained wait for their replacements to become Ready elsewhere; --max-wait, if that is shorter."`
	EvictTimeout  time.Duration `flag:"evict-timeout" default:"15m" rule:"positive" help:"How long disruption budgets keep other pods on a temporary node that is drained and has no game server any more; --max-wait, if that is shorter. Then they are deleted, with their grace."`
	Settle        time.Duration `flag:"drain-settle" default:"3s" rule:"positive" help:"How long a temporary node is at least cordoned before it can count as drained."`
	JoinTimeout   time.Duration `flag:"join-timeout" default:"10m" rule:"positive" help:"Longest time from the request for a VM to its Ready Node; its bootstrap token lives for as long."`
	CreateTimeout time.Duration `flag:"create-timeout" default:"1m" rule:"positive" help:"How long the cloud may neither refuse a VM nor show it before the next zone or machine type is tried."`
	MaxAttempts   int           `flag:"max-attempts" default:"3" rule:"at least 1" help:"How many attempts in a row are made with each zone and machine type."`
	Backoff       time.Duration `flag:"backoff" default:"10s" rule:"positive" help:"Pause after the first failed attempt with a zone and machine type; it doubles. The others are tried meanwhile."`
	BackoffMax    time.Duration `flag:"backoff-max" default:"2m" rule:"positive" help:"Longest pause between two attempts in a row."`
	ExhaustedWait time.Duration `flag:"exhausted-pause" default:"10m" rule:"positive" help:"Pause after the last attempt in a row, before it begins anew."`
	Poll          time.Duration `flag:"poll" default:"2s" rule:"positive" help:"How often the cloud is asked while a VM comes or goes."`
	Watch         time.Duration `flag:"watch" default:"30s" rule:"positive" help:"How often the cloud is asked about a VM that stands."`

	MaxFailovers  int           `flag:"max-failovers" default:"3" rule:"at least 1" help:"How many failovers may be under way at once."`
	MaxVMs        int           `flag:"max-vms" default:"4" rule:"at least 1" help:"How many VMs may exist at once. One more than needed lets a VM be replaced at the end of its lifetime."`
	MaxHourlyCost float64       `flag:"max-hourly-cost" default:"0" help:"What all VMs together may cost in an hour, by the prices of --machines; 0: no limit."`
	StormNodes    int           `flag:"storm-nodes" default:"3" rule:"at least 1" help:"So many watched nodes down at once, and --storm-share of them, are a storm: it may be the view that is broken."`
	StormShare    float64       `flag:"storm-share" default:"0.5" rule:"above 0 and at most 1" help:"Share of the watched nodes."`
	StormGrace    time.Duration `flag:"storm-grace" default:"5m" rule:"positive" help:"How long a storm must last before anything is done."`
	Lifetime      time.Duration `flag:"lifetime" default:"24h" rule:"positive" help:"Longest life of a VM; in a longer outage the next one takes over before."`
	ReplaceLead   time.Duration `flag:"replace-lead" default:"1h" rule:"positive" help:"How long before the end of its life a VM is replaced."`
	KeepCompleted time.Duration `flag:"keep-completed" default:"72h" rule:"positive" help:"How long completed failovers stay as history."`

	NamePrefix   string   `flag:"vm-name-prefix" default:"gcp-temp-" help:"What names of VMs begin with."`
	Machines     []string `flag:"machines" default:"n2-standard-4:3700m:13Gi:0.24" required:"VMs are of these types" help:"Machine types by size, comma-separated: type:cpu:memory[:price], where cpu and memory are what game servers can request on it, and price that of an hour."`
	MaxServers   int      `flag:"max-servers-per-vm" default:"100" rule:"at least 1" help:"How many game servers one VM holds at most: the kubelet's limit of pods, 110, less what else runs on each node."`
	Image        string   `flag:"vm-image" help:"Image that VMs boot. Compute Engine: NAME or family/NAME of the project's own, or projects/PROJECT/global/images/… as a path or URL."`
	ImageVersion string   `flag:"vm-kubernetes-version" help:"Version of the kubelet in --vm-image, such as 1.34.4. No VM is made that the API server does not support. None: that of the image's label kubernetes-version (Compute Engine, 1-34-4), or else the end of its name (node-1-34-4), which only warns."`
	DiskGB       int      `flag:"vm-disk-gb" default:"40" rule:"from 1 to 65536" help:"Size of a VM's disk (GB)."`
	DiskType     string   `flag:"vm-disk-type" default:"pd-ssd" help:"Type of a VM's disk."`
	Network      string   `flag:"vm-network" default:"default" help:"Network of VMs."`
	Subnetwork   string   `flag:"vm-subnetwork" help:"Subnetwork of VMs."`
	Tags         []string `flag:"vm-tags" default:"game-runner" help:"Network tags of VMs, comma-separated."`
	VMLabels     []string `flag:"vm-labels" help:"More labels of VMs, key=value, comma-separated."`

	Endpoint     string `flag:"api-endpoint" rule:"host:port" help:"API server as VMs reach it; none: that of cluster-info."`
	TokenGroup   string `flag:"token-group" default:"system:bootstrappers:torikumi:failover" required:"bootstrap tokens are of it" help:"Group of the bootstrap tokens that VMs join with. The controller approves the certificates that its members ask for, each for the one node that its token was made for. With kubeadm's own, system:bootstrappers:kubeadm:default-node-token, Kubernetes approves them, for any name."`
	NodeIP       string `flag:"node-ip" help:"Address for the kubelet's --node-ip, or $(command) that prints it; none: the kubelet chooses."`
	KubeletArgs  string `flag:"kubelet-args" help:"More flags for the kubelets of VMs, such as --max-pods=60 --kube-reserved=cpu=200m, separated by spaces. They win over those in the image's own /etc/default/kubelet, which are kept."`
	ProbeImage   string `flag:"drill-probe-image" help:"Image of the pod that a drill starts on its temporary node; none: that of a game server on the drill's node."`
	ProbeRuntime string `flag:"drill-probe-runtime-class" help:"RuntimeClass of that pod; none: that of a game server on the drill's node."`
	Hook         string `flag:"join-hook" help:"File with a shell script that VMs run before they join, at each boot."`
	RequireKata  bool   `flag:"require-kata" default:"false" help:"Let only VMs join that can run Kata containers."`
}

// Validate tells what is wrong with the controller's own settings.
func (c *Config) Validate() error {
	var errs []error
	bad := func(flag, rule string, v any) { errs = append(errs, config.Invalid(flag, rule, v)) }
	if c.Namespace != "" && len(validation.IsDNS1123Label(c.Namespace)) > 0 {
		bad("namespace", "must be the name of a namespace: at most 63 lower-case letters, digits and dashes", c.Namespace)
	}
	if c.LeaseRenew >= c.Lease {
		bad("lease-renew-deadline", fmt.Sprintf("must be shorter than --lease-duration (%v)", c.Lease), c.LeaseRenew)
	}
	// client-go spreads the tries by a factor of up to 1.2.
	if float64(c.LeaseRetry)*leaderelection.JitterFactor >= float64(c.LeaseRenew) {
		bad("lease-retry-period", fmt.Sprintf("must be shorter than --lease-renew-deadline (%v) divided by %v", c.LeaseRenew, leaderelection.JitterFactor), c.LeaseRetry)
	}
	if c.StabilityMax < c.Stability {
		bad("stability-max", fmt.Sprintf("must be at least --stability (%v)", c.Stability), c.StabilityMax)
	}
	if c.CreateTimeout > c.JoinTimeout {
		bad("create-timeout", fmt.Sprintf("must be at most --join-timeout (%v)", c.JoinTimeout), c.CreateTimeout)
	}
	if c.BackoffMax < c.Backoff {
		bad("backoff-max", fmt.Sprintf("must be at least --backoff (%v)", c.Backoff), c.BackoffMax)
	}
	if c.TaintGrace > 0 && c.TaintGrace < c.Grace {
		bad("taint-grace", fmt.Sprintf("must be 0, or at least --grace (%v)", c.Grace), c.TaintGrace)
	}
	if c.ReplaceLead <= c.JoinTimeout {
		bad("replace-lead", fmt.Sprintf("must be longer than --join-timeout (%v)", c.JoinTimeout), c.ReplaceLead)
	}
	if c.Lifetime <= c.ReplaceLead {
		bad("lifetime", fmt.Sprintf("must be longer than --replace-lead (%v)", c.ReplaceLead), c.Lifetime)
	}
	if !(c.MaxHourlyCost == 0 || c.MaxHourlyCost >= 0.001 && c.MaxHourlyCost <= 1e9) {
		bad("max-hourly-cost", "must be 0, or at least 0.001 and at most 1e9", c.MaxHourlyCost)
	}
	return errors.Join(append(errs, c.checkNodes(), c.checkVMs())...)
}

// registrable is the rule for labels that a kubelet registers.
const registrable = "must be labels that a kubelet may set: of kubernetes.io and k8s.io only node.kubernetes.io/… and kubelet.kubernetes.io/…"

func (c *Config) checkNodes() error {
	var errs []error
	_, watchedErr := pairs("watched-label", []string{c.WatchedLabel})
	temp, tempErr := pairs("temp-labels", c.TempLabels)
	errs = append(errs, watchedErr, tempErr)
	if key, value, ok := strings.Cut(c.WatchedLabel, "="); ok && temp[key] == value {
		errs = append(errs, config.Invalid("temp-labels", "must not make temporary Nodes watched ones", c.WatchedLabel))
	}
	for _, k := range slices.Sorted(maps.Keys(temp)) {
		if !join.MayRegister(k) {
			errs = append(errs, config.Invalid("temp-labels", registrable, k))
		}
	}
	for _, k := range c.CopyLabels {
		switch {
		case len(validation.IsQualifiedName(k)) > 0:
			errs = append(errs, config.Invalid("copy-labels", "must be keys of labels", k))
		case !join.MayRegister(k):
			errs = append(errs, config.Invalid("copy-labels", registrable, k))
		}
	}
	for _, k := range c.RestoreLabels {
		if len(validation.IsQualifiedName(k)) > 0 || !decide.Restricted(k) {
			errs = append(errs, config.Invalid("restore-labels", "must be keys of labels of node-restriction.kubernetes.io/: all others come back in any case", k))
		}
	}
	for _, k := range c.Tolerated {
		if len(validation.IsQualifiedName(k)) > 0 {
			errs = append(errs, config.Invalid("tolerated-taints", "must be keys of taints", k))
		}
	}
	if _, err := c.tempTaints(); err != nil {
		errs = append(errs, err)
	}
	switch decide.Fencing(c.Fencing) {
	case decide.FenceNone, decide.FenceManual:
		if c.FencingURL != "" {
			errs = append(errs, config.Invalid("fencing-url", "must not be given unless --fencing is Webhook", c.FencingURL))
		}
	case decide.FenceWebhook:
		if u, err := url.Parse(c.FencingURL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			errs = append(errs, config.Invalid("fencing-url", "must be an http or https URL", c.FencingURL))
		}
	}
	return errors.Join(errs...)
}

func (c *Config) checkVMs() error {
	_, typesErr := c.machineTypes()
	labels, labelsErr := pairs("vm-labels", c.VMLabels)
	p, providerErr := findProvider(c.Provider)
	errs := []error{typesErr, labelsErr, providerErr}
	if labelsErr == nil && providerErr == nil {
		errs = append(errs, p.check(c, labels))
	}
	// 9 characters are for the suffix, and the node's name has to show.
	if len(validation.IsDNS1035Label(c.NamePrefix+"x")) > 0 || len(c.NamePrefix) > 30 {
		errs = append(errs, config.Invalid("vm-name-prefix", "must be at most 30 lower-case letters, digits and dashes, and begin with a letter", c.NamePrefix))
	}
	if c.NodeIP != "" && net.ParseIP(c.NodeIP) == nil && !(strings.HasPrefix(c.NodeIP, "$(") && strings.HasSuffix(c.NodeIP, ")")) {
		errs = append(errs, config.Invalid("node-ip", "must be an address or $(command)", c.NodeIP))
	}
	if c.TokenGroup != "" && !join.IsTokenGroup(c.TokenGroup) {
		errs = append(errs, config.Invalid("token-group", "must be system:bootstrappers: and lower-case letters, digits, colons and dashes", c.TokenGroup))
	}
	if c.KubeletArgs != "" && !join.MayBeArgs(c.KubeletArgs) {
		errs = append(errs, config.Invalid("kubelet-args", "must be flags, --name=value, separated by single spaces and without quotes", c.KubeletArgs))
	}
	if v, err := version.ParseGeneric(c.ImageVersion); c.ImageVersion != "" && (err != nil || v.Major() != 1) {
		errs = append(errs, config.Invalid("vm-kubernetes-version", "must be a version of Kubernetes, such as 1.34.4 or 1.34", c.ImageVersion))
	}
	if c.ProbeRuntime != "" && len(validation.IsDNS1123Subdomain(c.ProbeRuntime)) > 0 {
		errs = append(errs, config.Invalid("drill-probe-runtime-class", "must be the name of a RuntimeClass", c.ProbeRuntime))
	}
	if strings.ContainsAny(c.ProbeImage, " \t\n") {
		errs = append(errs, config.Invalid("drill-probe-image", "must be an image, without spaces", c.ProbeImage))
	}
	if c.Hook != "" {
		if _, err := os.ReadFile(c.Hook); err != nil {
			errs = append(errs, config.Invalid("join-hook", "must be a file that can be read", c.Hook))
		}
	}
	return errors.Join(errs...)
}

// approves reports whether the controller approves the certificates of VMs that join.
func (c *Config) approves() bool { return c.TokenGroup != join.KubeadmGroup }

// pairs reads labels.
func pairs(flag string, all []string) (map[string]string, error) {
	m := make(map[string]string, len(all))
	var errs []error
	for _, p := range all {
		k, v, ok := strings.Cut(p, "=")
		if !ok || len(validation.IsQualifiedName(k)) > 0 || len(validation.IsValidLabelValue(v)) > 0 {
			errs = append(errs, config.Invalid(flag, "must be key=value, both as labels of Kubernetes are", p))
		}
		m[k] = v
	}
	return m, errors.Join(errs...)
}

// tempTaints are the keys of --temp-taints.
func (c *Config) tempTaints() (keys []string, err error) {
	var errs []error
	for _, text := range c.TempTaints {
		label, effect, _ := strings.Cut(text, ":")
		key, value, ok := strings.Cut(label, "=")
		effects := []corev1.TaintEffect{corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute}
		switch {
		case !ok || len(validation.IsQualifiedName(key)) > 0 || len(validation.IsValidLabelValue(value)) > 0 || !slices.Contains(effects, corev1.TaintEffect(effect)):
			errs = append(errs, config.Invalid("temp-taints", "must be key=value:Effect with NoSchedule, PreferNoSchedule or NoExecute", text))
		case decide.WellKnown(key):
			errs = append(errs, config.Invalid("temp-taints", "must not be taints of kubernetes.io and k8s.io: they are set by Kubernetes itself", text))
		default:
			keys = append(keys, key)
		}
	}
	return keys, errors.Join(errs...)
}

// machineTypes reads --machines.
func (c *Config) machineTypes() ([]decide.MachineType, error) {
	var all []decide.MachineType
	for _, text := range c.Machines {
		m, ok := machineType(text)
		if !ok {
			return nil, config.Invalid("machines", "must be type:cpu:memory[:price], such as n2-standard-4:3700m:13Gi:0.24", text)
		}
		if n := len(all); n > 0 && (m.MilliCPU < all[n-1].MilliCPU || m.Memory < all[n-1].Memory) {
			return nil, config.Invalid("machines", "must be sorted by size, the smallest first", text)
		}
		if c.MaxHourlyCost > 0 && m.MilliCost == 0 {
			return nil, config.Invalid("machines", "must have prices, because --max-hourly-cost is set", text)
		}
		all = append(all, m)
	}
	return all, nil
}

func machineType(text string) (decide.MachineType, bool) {
	parts := strings.Split(text, ":")
	if len(parts) < 3 || len(parts) > 4 || parts[0] == "" {
		return decide.MachineType{}, false
	}
	cpu, err1 := resource.ParseQuantity(parts[1])
	memory, err2 := resource.ParseQuantity(parts[2])
	m := decide.MachineType{Name: parts[0], MilliCPU: cpu.MilliValue(), Memory: memory.Value()}
	if len(parts) == 4 {
		price, err := resource.ParseQuantity(parts[3])
		if err != nil || price.Sign() < 0 {
			return m, false
		}
		m.MilliCost = price.MilliValue()
	}
	return m, err1 == nil && err2 == nil && m.MilliCPU > 0 && m.Memory > 0
}

// settings are those that decisions depend on. The config is valid.
func (c *Config) settings() (*decide.Settings, error) {
	types, err := c.machineTypes()
	if err != nil {
		return nil, err
	}
	temp, err := pairs("temp-labels", c.TempLabels)
	if err != nil {
		return nil, err
	}
	taints, err := c.tempTaints()
	if err != nil {
		return nil, err
	}
	p, err := findProvider(c.Provider)
	if err != nil {
		return nil, err
	}
	watchedKey, watchedValue, _ := strings.Cut(c.WatchedLabel, "=")
	return &decide.Settings{
		WatchedKey: watchedKey, WatchedValue: watchedValue, RestoreLabels: c.RestoreLabels,
		Grace: c.Grace, TaintGrace: c.TaintGrace, FalseGrace: c.FalseGrace, FalseStartsVM: c.FalseStartsVM, CordonedGrace: c.CordonedGrace, Stability: c.Stability, StabilityMax: c.StabilityMax, FlapWindow: c.FlapWindow, EmptyStartsVM: c.EmptyStartsVM, MaxWait: c.MaxWait, ReturnTimeout: c.ReturnTimeout, EvictTimeout: c.EvictTimeout, Settle: c.Settle, JoinTimeout: c.JoinTimeout, CreateTimeout: c.CreateTimeout,
		MaxAttempts: c.MaxAttempts, Backoff: c.Backoff, BackoffMax: c.BackoffMax, ExhaustedPause: c.ExhaustedWait,
		Poll: c.Poll, Watch: c.Watch, MaxFailovers: c.MaxFailovers, MaxVMs: c.MaxVMs, MaxMilliCost: int64(math.Round(c.MaxHourlyCost * 1000)),
		StormNodes: c.StormNodes, StormShare: c.StormShare, StormGrace: c.StormGrace, Lifetime: c.Lifetime, ReplaceLead: c.ReplaceLead,
		KeepCompleted: c.KeepCompleted, Fencing: decide.Fencing(c.Fencing), ToleratedTaints: slices.Concat(c.Tolerated, taints), NeedExternalIP: p.externalIP(c), InitNodes: c.InitNodes,
		NamePrefix: c.NamePrefix, Zones: p.zones(c), MachineTypes: types, MaxServers: int32(min(c.MaxServers, math.MaxInt32)), TempLabels: temp, CopyLabels: c.CopyLabels,
	}, nil
}
