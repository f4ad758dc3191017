package fake

import (
	"context"
	"fmt"
	"time"

	"cloud.google.com/go/compute/apiv1/computepb"
	"google.golang.org/protobuf/proto"
)

// The stages of an operation. An insert shows its VM from the second on,
// and a delete stops it there.
const (
	stagePending = iota
	stageRunning
	stageStaging
	stageDone
)

func (o *operation) done() bool { return o.pb.GetStatus() == computepb.Operation_DONE }

// Step moves each operation that is not done on by one stage, and reports whether
// there was one. An insert takes three: accepted, then PROVISIONING, STAGING
// and RUNNING with the operation done; one that fails ends at the second. A
// delete takes two: STOPPING, then gone.
func (s *Server) Step() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	return s.step()
}

// Finish steps until nothing is left to do.
func (s *Server) Finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	s.settle()
}

func (s *Server) settle() {
	for s.step() {
	}
}

// Run steps at an interval of real time until ctx ends.
func (s *Server) Run(ctx context.Context, interval time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.Step()
		case <-ctx.Done():
			return
		}
	}
}

func (s *Server) step() bool {
	moved := false
	for _, o := range s.operations {
		if o.done() {
			continue
		}
		moved = true
		o.stage++
		o.pb.Status = computepb.Operation_RUNNING.Enum()
		if o.stage == stageRunning {
			o.pb.StartTime = s.stamp()
		}
		m := s.instances[o.target]
		if m != nil && m.pb.GetId() != o.id {
			m = nil // another of the same name
		}
		switch o.pb.GetOperationType() {
		case "insert":
			s.stepInsert(o, m)
		case "delete":
			s.stepDelete(o, m)
		}
	}
	if moved {
		s.touch()
	}
	return moved
}

func (s *Server) stepInsert(o *operation, m *instance) {
	switch {
	case m == nil: // deleted meanwhile
		s.finish(o, &Failure{HTTPStatus: 404, HTTPMessage: "NOT FOUND", Code: "RESOURCE_NOT_FOUND", Message: "The resource was deleted"})
	case o.stage == stageRunning:
		m.visible = true
		m.pb.Status = proto.String("PROVISIONING")
	case o.fail != nil:
		s.remove(o.target)
		s.finish(o, o.fail)
	case o.stage == stageStaging:
		if m.pb.GetStatus() == "PROVISIONING" {
			m.pb.Status = proto.String("STAGING")
		}
	default:
		if m.pb.GetStatus() == "STAGING" && !m.neverStarts {
			s.start(o.target, m)
		}
		s.finish(o, nil)
	}
}

func (s *Server) stepDelete(o *operation, m *instance) {
	switch {
	case o.stage == stageRunning:
		if m != nil && o.fail == nil {
			m.pb.Status = proto.String("STOPPING")
			m.halt()
		}
	case o.fail != nil:
		s.finish(o, o.fail)
	default:
		if m != nil {
			s.remove(o.target)
		}
		s.finish(o, nil)
	}
}

func (s *Server) finish(o *operation, f *Failure) {
	o.stage = stageDone
	o.pb.Status = computepb.Operation_DONE.Enum()
	o.pb.Progress = proto.Int32(100)
	o.pb.EndTime = s.stamp()
	if f == nil {
		return
	}
	e := &computepb.Errors{Code: proto.String(f.Code), Message: proto.String(f.Message)}
	if f.Reason != "" {
		e.ErrorDetails = []*computepb.ErrorDetails{{ErrorInfo: &computepb.ErrorInfo{Reason: proto.String(f.Reason), Domain: proto.String("compute.googleapis.com")}}}
	}
	o.pb.Error = &computepb.Error{Errors: []*computepb.Errors{e}}
	if f.HTTPStatus != 0 {
		o.pb.HttpErrorStatusCode = proto.Int32(int32(f.HTTPStatus))
		o.pb.HttpErrorMessage = proto.String(f.HTTPMessage)
	}
}

// start makes a VM RUNNING, with addresses, and boots it.
func (s *Server) start(k key, m *instance) {
	m.pb.Status = proto.String("RUNNING")
	m.pb.LastStartTimestamp = s.stamp()
	m.started = s.opts.Now()
	n := m.pb.GetId() % 250
	for _, nic := range m.pb.GetNetworkInterfaces() {
		nic.NetworkIP = proto.String(fmt.Sprintf("10.156.0.%d", n+2))
		for _, ac := range nic.GetAccessConfigs() {
			ac.NatIP = proto.String(fmt.Sprintf("203.0.113.%d", n+2))
		}
	}
	s.boot(k, m)
}

func (s *Server) boot(k key, m *instance) {
	m.halt()
	if s.opts.OnBoot == nil || m.neverBoots || s.isClosed() {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	m.stop = cancel
	vm := m.vm(k)
	s.boots.Go(func() {
		defer cancel()
		s.opts.OnBoot(ctx, vm, vm.Metadata["startup-script"])
	})
}

func (m *instance) halt() {
	if m.stop != nil {
		m.stop()
		m.stop = nil
	}
}

func (s *Server) remove(k key) {
	s.instances[k].halt()
	delete(s.instances, k)
}

// expire deletes VMs whose longest run time is over.
func (s *Server) expire() {
	for k, m := range s.instances {
		limit := time.Duration(m.pb.GetScheduling().GetMaxRunDuration().GetSeconds()) * time.Second
		if limit > 0 && !m.started.IsZero() && s.opts.Now().Sub(m.started) >= limit {
			s.remove(k)
			s.touch()
		}
	}
}

// change does something to a VM that is there, and panics otherwise: the
// test is wrong.
func (s *Server) change(zone, name string, do func(key, *instance)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := key{zone, name}
	m := s.instances[k]
	if m == nil {
		panic(fmt.Sprintf("fake: no VM %s", k))
	}
	do(k, m)
	s.touch()
}

// Preempt stops a VM as the cloud does: it is TERMINATED and stays.
func (s *Server) Preempt(zone, name string) { s.SetStatus(zone, name, "TERMINATED") }

// SetStatus sets a VM's status. It runs on in RUNNING alone.
func (s *Server) SetStatus(zone, name, status string) {
	s.change(zone, name, func(_ key, m *instance) {
		m.pb.Status = proto.String(status)
		if status != "RUNNING" {
			m.halt()
		}
	})
}

// Vanish deletes a VM at once, as somebody else would.
func (s *Server) Vanish(zone, name string) {
	s.change(zone, name, func(k key, _ *instance) { s.remove(k) })
}

// Reboot makes a VM run its startup script again.
func (s *Server) Reboot(zone, name string) { s.change(zone, name, s.boot) }

// Edit changes a VM's resource behind everybody's back.
func (s *Server) Edit(zone, name string, edit func(*computepb.Instance)) {
	s.change(zone, name, func(_ key, m *instance) { edit(m.pb) })
}

// Put sets up a VM that is RUNNING and that no insert made. It does not
// boot.
func (s *Server) Put(zone string, m *computepb.Instance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := key{zone, m.GetName()}
	pb := proto.CloneOf(m)
	s.dress(k, pb)
	pb.Status = proto.String("RUNNING")
	s.instances[k] = &instance{pb: pb, visible: true}
	s.touch()
}

// dress adds what the server sets.
func (s *Server) dress(k key, pb *computepb.Instance) {
	pb.Kind = proto.String("compute#instance")
	pb.Id = proto.Uint64(s.id())
	pb.Zone = s.link("zones", k.zone)
	pb.SelfLink = s.link(k.String())
	pb.CreationTimestamp = s.stamp()
	pb.Status = proto.String("PROVISIONING")
	if mt := pb.GetMachineType(); mt != "" {
		pb.MachineType = s.link(mt)
	}
}
