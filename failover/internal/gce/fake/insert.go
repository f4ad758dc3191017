package fake

import (
	"net/http"
	"regexp"
	"slices"
	"strings"

	"cloud.google.com/go/compute/apiv1/computepb"
	"google.golang.org/protobuf/proto"
)

var (
	resourceName = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$`)
	labelKey     = regexp.MustCompile(`^[\p{Ll}\p{Lo}][\p{Ll}\p{Lo}\p{N}_-]{0,62}$`)
	labelValue   = regexp.MustCompile(`^[\p{Ll}\p{Lo}\p{N}_-]{0,63}$`)
	metaKey      = regexp.MustCompile(`^[a-zA-Z0-9-_]{1,128}$`)
	uuidText     = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
)

func (s *Server) insert(_ *http.Request, c Call, f Fault) (proto.Message, *Reply) {
	if id := c.RequestID; id != "" && (!uuidText.MatchString(id) || strings.Trim(id, "0-") == "") {
		return nil, invalid("requestId", "'%s'. Must be a valid UUID", id)
	}
	if o, refused := s.repeated(c, "insert"); o != nil || refused != nil {
		return o, refused
	}
	k := key{c.Zone, c.Target}
	if refused := s.examine(k, c.Instance); refused != nil {
		return nil, refused
	}
	if s.instances[k] != nil {
		return nil, &Reply{Status: 409, Reason: "alreadyExists", Message: "The resource 'projects/" + s.opts.Project + "/" + k.String() + "' already exists"}
	}
	if s.quota >= 0 && len(s.instances) >= s.quota {
		return nil, QuotaExceeded()
	}
	pb := proto.CloneOf(c.Instance)
	s.dress(k, pb)
	s.instances[k] = &instance{pb: pb, neverBoots: f.NeverBoots, neverStarts: f.NeverStarts}
	return s.begin(c, "insert", pb.GetId(), f), nil
}

// examine refuses what Compute Engine refuses before it makes an operation.
func (s *Server) examine(k key, m *computepb.Instance) *Reply {
	if !resourceName.MatchString(m.GetName()) {
		return invalid("resource.name", "'%s'. Must be a match of regex '(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)'", m.GetName())
	}
	machineType, ok := strings.CutPrefix(m.GetMachineType(), "zones/"+k.zone+"/machineTypes/")
	if !ok || !slices.Contains(s.opts.MachineTypes, machineType) {
		return invalid("resource.machineType", "'%s'. The referenced resource does not exist.", m.GetMachineType())
	}
	for key, value := range m.GetLabels() {
		if !labelKey.MatchString(key) || !labelValue.MatchString(value) {
			return invalid("resource.labels", "''. Label value '%s' violates format constraints.", value)
		}
	}
	for _, t := range m.GetTags().GetItems() {
		if !resourceName.MatchString(t) {
			return invalid("resource.tags.items[0]", "'%s'. Must be a match of regex", t)
		}
	}
	for _, i := range m.GetMetadata().GetItems() {
		if !metaKey.MatchString(i.GetKey()) || len(i.GetValue()) > 256<<10 {
			return invalid("resource.metadata", "'%s'. Metadata size is over the limit", i.GetKey())
		}
	}
	if sched := m.GetScheduling(); sched.GetMaxRunDuration() != nil {
		if n := sched.GetMaxRunDuration().GetSeconds(); n < 30 || n > 120*24*3600 {
			return invalid("resource.scheduling.maxRunDuration.seconds", "'%d'", n)
		}
		if a := sched.GetInstanceTerminationAction(); a != "DELETE" && a != "STOP" {
			return invalid("resource.scheduling.instanceTerminationAction", "'%s'", a)
		}
	}
	if len(m.GetDisks()) == 0 || len(m.GetNetworkInterfaces()) == 0 {
		return invalid("resource", "''. At least one disk and one network interface are needed")
	}
	return s.references(m)
}

// references refuses images and networks that do not exist.
func (s *Server) references(m *computepb.Instance) *Reply {
	own := "projects/" + s.opts.Project + "/global/images/"
	for _, d := range m.GetDisks() {
		image := d.GetInitializeParams().GetSourceImage()
		if name, ok := strings.CutPrefix(image, own); ok && !slices.Contains(s.opts.Images, name) || image == "" {
			return notFound(image)
		}
	}
	for _, n := range m.GetNetworkInterfaces() {
		if name, ok := strings.CutPrefix(n.GetNetwork(), "global/networks/"); ok && !slices.Contains(s.opts.Networks, name) {
			return notFound("projects/" + s.opts.Project + "/global/networks/" + name)
		}
	}
	return nil
}
