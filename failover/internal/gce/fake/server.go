// Package fake is a Compute Engine for tests: an HTTP server that the real
// client library talks to. It knows instances (insert, get, list, delete, setMetadata),
// zone operations (get, list, wait) and zones (get, list), request IDs, quotas,
// paging and filters, and can be told to fail in all the ways that matter to a
// controller (see Fault).
//
// Nothing happens by itself. An accepted call is an operation that moves on by
// Step, or at once unless Options.Manual is set; run times end by
// Options.Now. A VM that comes up calls Options.OnBoot with its metadata,
// as a guest would find it, so that a test can do what the startup script does.
//
// Where Compute Engine's behaviour is not documented the fake is the strict
// one: an insert is not visible before its operation runs, and a request ID
// brings the operation of the first request back, failed or not.
package fake

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"

	"cloud.google.com/go/compute/apiv1/computepb"
	"google.golang.org/protobuf/proto"
)

// Options of a Server. The zero value works.
type Options struct {
	// Project is "studio-games" and Zones are three in europe-west3 if empty.
	Project string
	Zones   []string
	// Images are the names of images in the project; "node" if empty. Images of
	// other projects are taken to exist.
	Images []string
	// Labels of the images, by name or family.
	Labels map[string]map[string]string
	// Networks of the project; "default" if empty.
	Networks []string
	// MachineTypes are some of the n2-standard series if empty.
	MachineTypes []string
	// Now is the clock for time stamps and run times; time.Now if nil.
	Now func() time.Time
	// Manual leaves it to Step to carry out what was accepted.
	Manual bool
	// OnBoot is what a VM does when it comes up, and at each Reboot, on a
	// goroutine of its own. ctx ends when the VM stops, is deleted or the
	// server closes. Close waits for all.
	OnBoot func(ctx context.Context, vm VM, startupScript string)
}

// VM is a VM, as it is at one moment.
type VM struct {
	Zone, Name             string
	ID                     uint64
	Status                 string
	InternalIP, ExternalIP string
	Labels, Metadata       map[string]string
	Tags                   []string
	// Visible is false while its insert is accepted and not begun.
	Visible bool
	Created time.Time
}

// Call is a request that the server got.
type Call struct {
	// Name as in Fault.Call.
	Name       string
	Zone       string
	Target     string // of a VM or operation, "" for lists
	RequestID  string
	Instance   *computepb.Instance // what an insert carried
	Metadata   *computepb.Metadata // what a setMetadata carried
	StartedAt  time.Time
	PageToken  string
	MaxResults string
}

type key struct{ zone, name string }

type instance struct {
	pb          *computepb.Instance
	visible     bool
	neverBoots  bool
	neverStarts bool
	started     time.Time // when it became RUNNING
	stop        context.CancelFunc
}

type operation struct {
	pb     *computepb.Operation
	target key
	id     uint64 // of the VM, as another may get its name
	stage  int
	fail   *Failure
}

// Server is a fake Compute Engine. It is safe for concurrent use.
type Server struct {
	// URL is what the client's endpoint is to be.
	URL string

	opts   Options
	web    *httptest.Server
	closed chan struct{} // once Close is called
	boots  sync.WaitGroup

	mu         sync.Mutex
	changed    chan struct{} // closed at each change
	instances  map[key]*instance
	operations []*operation
	requests   map[string]*operation
	faults     []*Fault
	calls      []Call
	quota      int
	pageSize   int
	emptyPages bool
	peak       int
	serial     uint64
}

// New starts a server. Close ends it.
func New(opts Options) *Server {
	opts.Project = cmp.Or(opts.Project, "studio-games")
	if opts.Zones == nil {
		opts.Zones = []string{"europe-west3-a", "europe-west3-b", "europe-west3-c"}
	}
	if opts.Images == nil {
		opts.Images = []string{"node"}
	}
	if opts.Networks == nil {
		opts.Networks = []string{"default"}
	}
	if opts.MachineTypes == nil {
		opts.MachineTypes = []string{"n2-standard-2", "n2-standard-4", "n2-standard-8", "n2-standard-16"}
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	s := &Server{
		opts:      opts,
		closed:    make(chan struct{}),
		changed:   make(chan struct{}),
		instances: make(map[key]*instance),
		requests:  make(map[string]*operation),
		quota:     -1,
		serial:    4_000_000_000_000_000_000,
	}
	s.web = httptest.NewServer(s.handler())
	s.URL = s.web.URL
	return s
}

// Close stops all VMs, hangs up on all clients and waits for both.
func (s *Server) Close() {
	s.mu.Lock()
	if !s.isClosed() {
		close(s.closed)
	}
	for _, m := range s.instances {
		m.halt()
	}
	s.mu.Unlock()
	s.web.CloseClientConnections()
	s.web.Close()
	s.boots.Wait()
}

// isClosed reports whether Close has been called.
func (s *Server) isClosed() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}

// Project is the one that exists.
func (s *Server) Project() string { return s.opts.Project }

// Zones are those that exist.
func (s *Server) Zones() []string { return slices.Clone(s.opts.Zones) }

// SetQuota is the most VMs that the project may have; below 0 any number.
func (s *Server) SetQuota(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.quota = n
}

// SetPages limits the pages of lists, whatever the client asks for; 0 is as
// asked for. With empty, a page without items goes before each.
func (s *Server) SetPages(size int, empty bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pageSize, s.emptyPages = size, empty
}

// ForgetRequests makes all request IDs new again, as they are after a while.
func (s *Server) ForgetRequests() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.requests)
}

// ForgetOperations drops all operations that are done, as happens after some
// days.
func (s *Server) ForgetOperations() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.operations = slices.DeleteFunc(s.operations, (*operation).done)
}

// Calls are the requests so far, those that faults refused among them.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Count is the number of calls of that name so far.
func (s *Server) Count(name string) int {
	n := 0
	for _, c := range s.Calls() {
		if c.Name == name {
			n++
		}
	}
	return n
}

// VMs are all that there are, those whose insert is only accepted too, by
// zone and name.
func (s *Server) VMs() []VM {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []VM
	for _, k := range s.keys() {
		all = append(all, s.instances[k].vm(k))
	}
	return all
}

// Peak is the largest number of VMs that there were at one time.
func (s *Server) Peak() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peak
}

// Wait returns when cond is true. It asks again after each change, with no lock
// held.
func (s *Server) Wait(ctx context.Context, cond func() bool) error {
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if cond() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// touch needs the lock.
func (s *Server) touch() {
	s.peak = max(s.peak, len(s.instances))
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Server) keys() []key {
	return slices.SortedFunc(maps.Keys(s.instances), func(a, b key) int {
		return strings.Compare(a.zone+"/"+a.name, b.zone+"/"+b.name)
	})
}

func (m *instance) vm(k key) VM {
	v := VM{
		Zone: k.zone, Name: k.name, ID: m.pb.GetId(), Status: m.pb.GetStatus(), Visible: m.visible,
		Labels: maps.Clone(m.pb.GetLabels()), Metadata: make(map[string]string), Tags: slices.Clone(m.pb.GetTags().GetItems()),
	}
	for _, i := range m.pb.GetMetadata().GetItems() {
		v.Metadata[i.GetKey()] = i.GetValue()
	}
	if nics := m.pb.GetNetworkInterfaces(); len(nics) > 0 {
		v.InternalIP = nics[0].GetNetworkIP()
		if acs := nics[0].GetAccessConfigs(); len(acs) > 0 {
			v.ExternalIP = acs[0].GetNatIP()
		}
	}
	v.Created, _ = time.Parse(time.RFC3339Nano, m.pb.GetCreationTimestamp())
	return v
}

func (s *Server) id() uint64 {
	s.serial++
	return s.serial
}

func (s *Server) link(parts ...string) *string {
	return proto.String("https://www.googleapis.com/compute/v1/projects/" + s.opts.Project + "/" + strings.Join(parts, "/"))
}

func (s *Server) stamp() *string {
	return proto.String(s.opts.Now().Format("2006-01-02T15:04:05.000-07:00"))
}

func (k key) String() string { return fmt.Sprintf("zones/%s/instances/%s", k.zone, k.name) }
