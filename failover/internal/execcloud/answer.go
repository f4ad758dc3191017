package execcloud

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

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

func toOwner(o cloud.Owner) *jsonOwner {
	return &jsonOwner{Cluster: o.Cluster, Node: o.Node, NodeUID: o.NodeUID, Failover: o.Failover}
}

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
		Ref: cloud.Ref{Name: m.Name, Zone: m.Zone},
		Owner: cloud.Owner{
			Cluster: m.Owner.Cluster, Node: m.Owner.Node, NodeUID: m.Owner.NodeUID, Failover: m.Owner.Failover,
		},
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
			if r := (cloud.Ref{Name: m.Name, Zone: m.Zone}); seen[r] {
				return result{}, fmt.Errorf("machines[%d]: %s in %s is there twice", i, m.Name, m.Zone)
			} else {
				seen[r] = true
			}
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
	text := a.Error.Message
	if text == "" {
		text = a.Error.Code
	}
	return &refusal{kind: kind, text: text}
}

var states = []string{string(cloud.Creating), string(cloud.Running), string(cloud.Stopping), string(cloud.Stopped)}

func (m *machine) check() error {
	switch {
	case m.Name == "" || m.Zone == "":
		return errors.New("name and zone are needed")
	case m.Owner.Cluster == "" || m.Owner.Node == "" || m.Owner.NodeUID == "" || m.Owner.Failover == "":
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
// there twice, nothing behind it. encoding/json alone takes the last of two
// fields, and NAME for name.
func strict(text []byte, into any) error {
	if !utf8.Valid(text) {
		return errors.New("not UTF-8")
	}
	if err := fields(json.NewDecoder(bytes.NewReader(text)), reflect.TypeOf(into).Elem(), 0); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return plain(err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("more than one JSON value")
	}
	return nil
}

// plain leaves out what a decoder's error repeats of its text.
func plain(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("not JSON, at byte %d", syntax.Offset)
	case errors.As(err, &kind):
		return fmt.Errorf("%s has the wrong type", kind.Field)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("not JSON, ends early")
	}
	return errors.New("a value has the wrong form")
}

const maxDepth = 8

// fields walks one value and checks the names of its objects' fields against
// the type that it is for.
func fields(dec *json.Decoder, as reflect.Type, depth int) error {
	if depth > maxDepth {
		return errors.New("nested too deep")
	}
	t, err := dec.Token()
	if err != nil {
		return plain(err)
	}
	for as.Kind() == reflect.Pointer {
		as = as.Elem()
	}
	switch t {
	case json.Delim('{'):
		if as.Kind() != reflect.Struct || as == reflect.TypeFor[time.Time]() {
			return errors.New("an object where none belongs")
		}
		seen := make(map[string]bool)
		for dec.More() {
			t, err := dec.Token()
			if err != nil {
				return plain(err)
			}
			name, _ := t.(string)
			inner, ok := fieldOf(as, name)
			if !ok {
				return fmt.Errorf("unknown field %.40q", name)
			}
			if seen[name] {
				return fmt.Errorf("field %q is there twice", name)
			}
			seen[name] = true
			if err := fields(dec, inner, depth+1); err != nil {
				return err
			}
		}
		_, err = dec.Token()
	case json.Delim('['):
		if as.Kind() != reflect.Slice {
			return errors.New("a list where none belongs")
		}
		for dec.More() {
			if err := fields(dec, as.Elem(), depth+1); err != nil {
				return err
			}
		}
		_, err = dec.Token()
	}
	if err != nil {
		return plain(err)
	}
	return nil
}

func fieldOf(t reflect.Type, name string) (reflect.Type, bool) {
	for f := range t.Fields() {
		if f.Tag.Get("json") == name {
			return f.Type, true
		}
	}
	return nil, false
}
