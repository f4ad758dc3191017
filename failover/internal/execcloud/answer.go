package execcloud

import (
	"cmp"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"sigs.k8s.io/json"

	"torikumi/failover/cloud"
)

// version of the protocol, in each request and answer.
const version = 1

type jsonOwner struct {
	Cluster  string `json:"cluster"`
	Node     string `json:"node"`
	NodeUID  string `json:"nodeUID"`
	Failover string `json:"failover"`
}

func toOwner(o cloud.Owner) *jsonOwner { return new(jsonOwner(o)) }

// request is what the program reads.
type request struct {
	Version int        `json:"version"`
	Name    string     `json:"name,omitempty"`
	Zone    string     `json:"zone,omitempty"`
	Owner   *jsonOwner `json:"owner,omitempty"`
	// Of list.
	Cluster string   `json:"cluster,omitempty"`
	Zones   []string `json:"zones,omitempty"`
	// Of create.
	*jsonSpec
}

type jsonSpec struct {
	RequestID          string            `json:"requestID"`
	StartupScript      string            `json:"startupScript"`
	MaxLifetimeSeconds int64             `json:"maxLifetimeSeconds"`
	MachineType        string            `json:"machineType,omitempty"`
	Image              string            `json:"image,omitempty"`
	DiskGB             int               `json:"diskGB,omitempty"`
	DiskType           string            `json:"diskType,omitempty"`
	Network            string            `json:"network,omitempty"`
	Subnetwork         string            `json:"subnetwork,omitempty"`
	Tags               []string          `json:"tags,omitempty"`
	Labels             map[string]string `json:"labels,omitempty"`
}

func creation(s cloud.Spec) request {
	return request{Version: version, Name: s.Name, Zone: s.Zone, Owner: toOwner(s.Owner), jsonSpec: &jsonSpec{
		RequestID: s.RequestID, StartupScript: s.StartupScript,
		MaxLifetimeSeconds: int64((s.MaxLifetime + time.Second - 1) / time.Second),
		MachineType:        s.MachineType, Image: s.Image, DiskGB: s.DiskGB, DiskType: s.DiskType,
		Network: s.Network, Subnetwork: s.Subnetwork, Tags: s.Tags, Labels: s.Labels,
	}}
}

// answer is what the program writes: one JSON object.
type answer struct {
	Version  int         `json:"version"`
	Error    *jsonError  `json:"error"`
	Machine  *machine    `json:"machine"`  // of get
	Machines *[]*machine `json:"machines"` // of list
}

type jsonError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

type machine struct {
	Name       string    `json:"name"`
	Zone       string    `json:"zone"`
	Owner      jsonOwner `json:"owner"`
	State      string    `json:"state"`
	ProviderID string    `json:"providerID"`
	InternalIP string    `json:"internalIP"`
	ExternalIP string    `json:"externalIP"`
	Created    time.Time `json:"created"`
	HourlyCost float64   `json:"hourlyCost"`
}

func (m *machine) instance() cloud.Instance {
	return cloud.Instance{
		Ref: cloud.Ref{Name: m.Name, Zone: m.Zone}, Owner: cloud.Owner(m.Owner),
		State: cloud.State(m.State), ProviderID: m.ProviderID, InternalIP: m.InternalIP, ExternalIP: m.ExternalIP,
		Created: m.Created, HourlyCost: m.HourlyCost,
	}
}

// refusal is an error that the program has answered.
type refusal struct {
	kind error // nil for Transient
	text string
}

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return r.kind }

// codes are the values of error.code.
var codes = map[string]error{
	"NotFound":  cloud.ErrNotFound,
	"Foreign":   cloud.ErrForeign,
	"Stockout":  cloud.ErrStockout,
	"Quota":     cloud.ErrQuota,
	"Invalid":   cloud.ErrInvalid,
	"Transient": nil,
}

// result is an answer that is no error.
type result struct {
	Machine  *machine
	Machines []*machine
}

// parse reads the answer to a verb. Its error is a *refusal if the program has
// answered one, anything else if the answer breaks the protocol.
func parse(verb string, out []byte) (result, error) {
	var a answer
	if err := strict(out, &a); err != nil {
		return result{}, err
	}
	if a.Version != version {
		return result{}, fmt.Errorf("version is %d, want %d", a.Version, version)
	}
	if a.Error != nil {
		return result{}, a.refusal()
	}
	switch {
	case (a.Machine != nil) != (verb == verbGet):
		return result{}, fmt.Errorf("machine is for the answer to get, and needed there")
	case (a.Machines != nil) != (verb == verbList):
		return result{}, fmt.Errorf("machines is for the answer to list, and needed there")
	case verb == verbGet:
		return result{Machine: a.Machine}, a.Machine.check()
	case verb == verbList:
		all := *a.Machines
		seen := make(map[cloud.Ref]bool)
		for i, m := range all {
			if m == nil {
				return result{}, fmt.Errorf("machines[%d] is null", i)
			}
			if err := m.check(); err != nil {
				return result{}, fmt.Errorf("machines[%d]: %w", i, err)
			}
			r := cloud.Ref{Name: m.Name, Zone: m.Zone}
			if seen[r] {
				return result{}, fmt.Errorf("machines[%d]: %s in %s is there twice", i, m.Name, m.Zone)
			}
			seen[r] = true
		}
		return result{Machines: all}, nil
	}
	return result{}, nil
}

func (a *answer) refusal() error {
	if a.Machine != nil || a.Machines != nil {
		return errors.New("an error and a result")
	}
	kind, known := codes[a.Error.Code]
	if !known {
		return fmt.Errorf("error.code %q is unknown", a.Error.Code)
	}
	return &refusal{kind: kind, text: cmp.Or(a.Error.Message, a.Error.Code)}
}

var states = []string{string(cloud.Creating), string(cloud.Running), string(cloud.Stopping), string(cloud.Stopped)}

func (m *machine) check() error {
	switch {
	case m.Name == "" || m.Zone == "":
		return errors.New("name and zone are needed")
	case !cloud.Owner(m.Owner).Whole():
		return errors.New("owner must have cluster, node, nodeUID and failover")
	case !slices.Contains(states, m.State):
		return fmt.Errorf("state %q is none of %s", m.State, strings.Join(states, ", "))
	case m.ProviderID == "":
		return errors.New("providerID is needed")
	case m.HourlyCost < 0 || math.IsInf(m.HourlyCost, 0) || math.IsNaN(m.HourlyCost):
		return errors.New("hourlyCost must be at least 0")
	}
	return nil
}

// strict reads one JSON object: no field that is unknown, written otherwise or
// there twice, nothing behind it. Its errors repeat no value of the text.
func strict(text []byte, into any) error {
	if !utf8.Valid(text) {
		return errors.New("not UTF-8")
	}
	breaks, err := json.UnmarshalStrict(text, into)
	var kind *stdjson.UnmarshalTypeError
	switch syntax, at := json.SyntaxErrorOffset(err); {
	case syntax:
		return fmt.Errorf("not JSON, at byte %d", at)
	case errors.As(err, &kind):
		return fmt.Errorf("%s has the wrong type", kind.Field)
	case err != nil:
		return errors.New("a value has the wrong form")
	}
	return errors.Join(breaks...)
}
