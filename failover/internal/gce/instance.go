package gce

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/compute/apiv1/computepb"
	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"torikumi/failover/cloud"
)

// What a VM is made with where the Spec leaves it open.
const (
	defaultMachineType = "n2-standard-4"
	defaultDiskType    = "pd-ssd"
	defaultDiskGB      = 40
	defaultNetwork     = "default"
)

// Whose a VM is stands in its metadata, which takes any text, exactly. In
// its labels, which take 63 lower-case characters, it stands digested: lists
// are filtered by those, and decisions made by the metadata.
const (
	metaScript   = "startup-script"
	metaCluster  = "failover-cluster"
	metaNode     = "failover-node"
	metaNodeUID  = "failover-node-uid"
	metaFailover = "failover-uid"

	labelManaged  = "managed-by"
	labelNode     = "onprem-node"
	labelCluster  = "failover-cluster"
	labelFailover = "failover-uid"

	// ownLabels is how many labels these are.
	ownLabels = 4

	// managedBy is the value of labelManaged.
	managedBy = "torikumi-failover"
)

// Limits of Compute Engine.
const (
	maxLabels      = 64
	maxTags        = 64
	maxMetaBytes   = 256 << 10
	minRunDuration = 30 * time.Second
	maxRunDuration = 120 * 24 * time.Hour
)

var (
	labelKey   = regexp.MustCompile(`^[\p{Ll}\p{Lo}][\p{Ll}\p{Lo}\p{N}_-]{0,62}$`)
	labelValue = regexp.MustCompile(`^[\p{Ll}\p{Lo}\p{N}_-]{0,63}$`)
	notInLabel = regexp.MustCompile(`[^a-z0-9_-]`)
)

// digest makes a label's value of any text: equal for equal texts only.
func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:16])
}

// readable makes a label's value of a name, which people can read. Names that
// would read the same, or be cut, carry a digest.
func readable(name string) string {
	label := notInLabel.ReplaceAllString(strings.ToLower(name), "-")
	if label == name && len(label) <= 63 {
		return label
	}
	return label[:min(len(label), 54)] + "-" + digest(name)[:8]
}

// check tells what Compute Engine would refuse, or misunderstand.
func (p *Provider) check(s cloud.Spec) error {
	bad := func(what string, value any) error {
		return fmt.Errorf("%w: %s, got %q", cloud.ErrInvalid, what, fmt.Sprint(value))
	}
	if err := checkRef(s.Ref); err != nil {
		return err
	}
	if !slices.Contains(p.cfg.Zones, s.Zone) { // List would not find it
		return bad("the zone must be one of --gce-zones", s.Zone)
	}
	if id, err := uuid.Parse(s.RequestID); err != nil || id == uuid.Nil {
		return bad("the request ID must be a UUID other than zero", s.RequestID)
	}
	if !s.Owner.Whole() {
		return bad("the owner must be whole: cluster, node, node UID, failover", fmt.Sprintf("%+v", s.Owner))
	}
	if s.Image == "" {
		return bad("an image is needed", "")
	}
	if s.DiskGB < 0 {
		return bad("the disk's size must be above 0 GB", s.DiskGB)
	}
	if len(s.StartupScript) > maxMetaBytes {
		return bad(fmt.Sprintf("the startup script must have at most %d bytes", maxMetaBytes), len(s.StartupScript))
	}
	if d := s.MaxLifetime; d != 0 && d < minRunDuration {
		return bad(fmt.Sprintf("the longest lifetime must be at least %s", minRunDuration), d)
	}
	if err := CheckVMs(s.Labels, s.Tags, s.MaxLifetime); err != nil {
		return fmt.Errorf("%w: %w", cloud.ErrInvalid, err)
	}
	return nil
}

// tagRule is that of network tags.
const tagRule = "must have at most 63 lower-case letters, digits and -, and begin with a letter"

// labelRule is the rule that a label of the operator's breaks, "" if none.
func labelRule(key, value string) string {
	switch key {
	case labelManaged, labelNode, labelCluster, labelFailover:
		return "must not be the controller's own"
	}
	if !labelKey.MatchString(key) || !labelValue.MatchString(value) {
		return "must have at most 63 lower-case letters, digits, - and _ in key and value, and the key begin with a letter"
	}
	return ""
}

func checkRef(r cloud.Ref) error {
	if !resource.MatchString(r.Name) {
		return fmt.Errorf("%w: a VM's name has at most 63 lower-case letters, digits and -, got %q", cloud.ErrInvalid, r.Name)
	}
	if !zoneName.MatchString(r.Zone) {
		return fmt.Errorf("%w: no zone has the name %q", cloud.ErrInvalid, r.Zone)
	}
	return nil
}

func labels(o cloud.Owner) map[string]string {
	return map[string]string{
		labelManaged:  managedBy,
		labelNode:     readable(o.Node),
		labelCluster:  digest(o.Cluster),
		labelFailover: digest(o.Failover),
	}
}

// computeInstance is the Spec in Compute Engine's words.
func (p *Provider) computeInstance(s cloud.Spec) *computepb.Instance {
	tagged := labels(s.Owner)
	maps.Copy(tagged, s.Labels)
	m := &computepb.Instance{
		Name:        proto.String(s.Name),
		Description: proto.String("Stands in for the on-premises node " + s.Owner.Node),
		MachineType: proto.String("zones/" + s.Zone + "/machineTypes/" + cmp.Or(s.MachineType, defaultMachineType)),
		Labels:      tagged,
		Disks: []*computepb.AttachedDisk{{
			Boot:       proto.Bool(true),
			AutoDelete: proto.Bool(true),
			InitializeParams: &computepb.AttachedDiskInitializeParams{
				SourceImage: proto.String(p.image(s.Image)),
				DiskType:    proto.String("zones/" + s.Zone + "/diskTypes/" + cmp.Or(s.DiskType, defaultDiskType)),
				DiskSizeGb:  proto.Int64(int64(cmp.Or(s.DiskGB, defaultDiskGB))),
				Labels:      tagged,
			},
		}},
		NetworkInterfaces: []*computepb.NetworkInterface{p.network(s)},
		Metadata: &computepb.Metadata{Items: []*computepb.Items{
			item(metaScript, s.StartupScript),
			item(metaCluster, s.Owner.Cluster),
			item(metaNode, s.Owner.Node),
			item(metaNodeUID, s.Owner.NodeUID),
			item(metaFailover, s.Owner.Failover),
		}},
	}
	if len(s.Tags) > 0 {
		m.Tags = &computepb.Tags{Items: s.Tags}
	}
	if p.cfg.NestedVirtualization {
		m.AdvancedMachineFeatures = &computepb.AdvancedMachineFeatures{EnableNestedVirtualization: proto.Bool(true)}
	}
	if s.MaxLifetime > 0 {
		// Rounded up: the cloud must not be earlier than the controller.
		seconds := int64((s.MaxLifetime + time.Second - 1) / time.Second)
		m.Scheduling = &computepb.Scheduling{
			MaxRunDuration:            &computepb.Duration{Seconds: proto.Int64(seconds)},
			InstanceTerminationAction: proto.String("DELETE"),
		}
	}
	if p.cfg.Spot {
		if m.Scheduling == nil {
			m.Scheduling = &computepb.Scheduling{InstanceTerminationAction: proto.String("DELETE")}
		}
		m.Scheduling.ProvisioningModel = proto.String("SPOT")
		m.Scheduling.AutomaticRestart = proto.Bool(false)
		m.Scheduling.OnHostMaintenance = proto.String("TERMINATE")
	}
	if p.cfg.ShieldedVM {
		m.ShieldedInstanceConfig = &computepb.ShieldedInstanceConfig{
			EnableSecureBoot: proto.Bool(true), EnableVtpm: proto.Bool(true), EnableIntegrityMonitoring: proto.Bool(true),
		}
	}
	if p.cfg.MinCPUPlatform != "" {
		m.MinCpuPlatform = proto.String(p.cfg.MinCPUPlatform)
	}
	if p.cfg.ServiceAccount != "" {
		m.ServiceAccounts = []*computepb.ServiceAccount{{
			Email:  proto.String(p.cfg.ServiceAccount),
			Scopes: []string{"https://www.googleapis.com/auth/cloud-platform"},
		}}
	}
	return m
}

func (p *Provider) network(s cloud.Spec) *computepb.NetworkInterface {
	nic := &computepb.NetworkInterface{}
	if s.Network != "" || s.Subnetwork == "" {
		nic.Network = proto.String(path("global/networks/", cmp.Or(s.Network, defaultNetwork)))
	}
	if s.Subnetwork != "" {
		region := s.Zone[:strings.LastIndexByte(s.Zone, '-')]
		nic.Subnetwork = proto.String(path("regions/"+region+"/subnetworks/", s.Subnetwork))
	}
	if p.cfg.ExternalIP {
		nic.AccessConfigs = []*computepb.AccessConfig{{
			Name: proto.String("External NAT"),
			Type: proto.String("ONE_TO_ONE_NAT"),
		}}
	}
	return nic
}

// image takes NAME and family/NAME of the project's own images, and any path.
func (p *Provider) image(name string) string {
	if family, ok := strings.CutPrefix(name, "family/"); ok {
		return "projects/" + p.cfg.Project + "/global/images/family/" + family
	}
	return path("projects/"+p.cfg.Project+"/global/images/", name)
}

// path puts a bare name where it belongs, and leaves paths and URLs alone.
func path(prefix, name string) string {
	if strings.Contains(name, "/") {
		return name
	}
	return prefix + name
}

func item(key, value string) *computepb.Items {
	return &computepb.Items{Key: proto.String(key), Value: proto.String(value)}
}

// owner is what a VM's metadata says, nothing if it is not one of ours.
func owner(m *computepb.Instance) cloud.Owner {
	var o cloud.Owner
	for _, i := range m.GetMetadata().GetItems() {
		switch i.GetKey() {
		case metaCluster:
			o.Cluster = i.GetValue()
		case metaNode:
			o.Node = i.GetValue()
		case metaNodeUID:
			o.NodeUID = i.GetValue()
		case metaFailover:
			o.Failover = i.GetValue()
		}
	}
	return o
}

func (p *Provider) providerID(r cloud.Ref) string {
	return "gce://" + p.cfg.Project + "/" + r.Zone + "/" + r.Name
}

// instance is a VM in the contract's words.
func (p *Provider) instance(zone string, m *computepb.Instance) cloud.Instance {
	r := cloud.Ref{Name: m.GetName(), Zone: zone}
	i := cloud.Instance{
		Ref:        r,
		Owner:      owner(m),
		State:      state(m.GetStatus()),
		ProviderID: p.providerID(r),
		HourlyCost: p.costs[last(m.GetMachineType())],
	}
	if nics := m.GetNetworkInterfaces(); len(nics) > 0 {
		i.InternalIP = nics[0].GetNetworkIP()
		if acs := nics[0].GetAccessConfigs(); len(acs) > 0 {
			i.ExternalIP = acs[0].GetNatIP()
		}
	}
	if at, err := time.Parse(time.RFC3339, m.GetCreationTimestamp()); err == nil {
		i.Created = at
	}
	return i
}

func last(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// state maps the life cycle of a VM. REPAIRING is a VM that Compute
// Engine puts back on its feet by itself, so that it is as good as in the
// making; and so is a state that is not known here, for nothing may be decided
// on it but to wait until the caller's own deadline.
// https://cloud.google.com/compute/docs/instances/instance-lifecycle
func state(status string) cloud.State {
	switch status {
	case "RUNNING":
		return cloud.Running
	case "PENDING_STOP", "STOPPING", "SUSPENDING", "DEPROVISIONING":
		return cloud.Stopping
	case "STOPPED", "SUSPENDED", "TERMINATED":
		return cloud.Stopped
	default: // PROVISIONING, STAGING, PENDING, REPAIRING
		return cloud.Creating
	}
}
