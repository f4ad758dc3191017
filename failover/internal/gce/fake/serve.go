package fake

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"cloud.google.com/go/compute/apiv1/computepb"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	const zones = "/compute/v1/projects/{project}/zones"
	handle := func(pattern, name string, do func(*http.Request, Call, Fault) (proto.Message, *Reply)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, name, do) })
	}
	handle("GET "+zones, "zones.list", s.listZones)
	handle("GET "+zones+"/{zone}", "zones.get", s.getZone)
	handle("POST "+zones+"/{zone}/instances", Insert, s.insert)
	handle("GET "+zones+"/{zone}/instances", List, s.listInstances)
	handle("GET "+zones+"/{zone}/instances/{target}", Get, s.get)
	handle("DELETE "+zones+"/{zone}/instances/{target}", Delete, s.delete)
	handle("POST "+zones+"/{zone}/instances/{target}/setMetadata", SetMetadata, s.setMetadata)
	handle("GET "+zones+"/{zone}/operations", OperationsList, s.listOperations)
	handle("GET "+zones+"/{zone}/operations/{target}", OperationsGet, s.getOperation)
	handle("POST "+zones+"/{zone}/operations/{target}/wait", OperationsWait, s.getOperation)
	const images = "/compute/v1/projects/{project}/global/images/"
	handle("GET "+images+"{target}", ImagesGet, s.getImage)
	handle("GET "+images+"family/{target}", ImagesGet, s.getImage)
	return mux
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, name string, do func(*http.Request, Call, Fault) (proto.Message, *Reply)) {
	q := r.URL.Query()
	c := Call{
		Name: name, Zone: r.PathValue("zone"), Target: r.PathValue("target"), StartedAt: s.opts.Now(),
		RequestID: q.Get("requestId"), PageToken: q.Get("pageToken"), MaxResults: q.Get("maxResults"),
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	var refused *Reply
	if name == Insert {
		c.Instance = &computepb.Instance{}
		if err := protojson.Unmarshal(body, c.Instance); err != nil {
			refused = &Reply{Status: 400, Reason: "parseError", Message: err.Error()}
		}
		c.Target = c.Instance.GetName()
	}
	if name == SetMetadata {
		c.Metadata = &computepb.Metadata{}
		if err := protojson.Unmarshal(body, c.Metadata); err != nil {
			refused = &Reply{Status: 400, Reason: "parseError", Message: err.Error()}
		}
	}

	s.mu.Lock()
	s.expire()
	s.calls = append(s.calls, c)
	f := s.fault(c)
	var answer proto.Message
	if !f.instead() && refused == nil {
		if answer, refused = s.known(r); refused == nil {
			answer, refused = do(r, c, f)
		}
		if answer != nil {
			answer = proto.Clone(answer)
		}
		if !s.opts.Manual {
			s.settle()
		}
	}
	s.touch()
	s.mu.Unlock()

	if name == OperationsWait && refused == nil && !f.instead() {
		answer = s.await(r, answer)
	}
	switch {
	case f.Hang:
		select {
		case <-r.Context().Done():
		case <-s.closed:
		}
		panic(http.ErrAbortHandler)
	case f.Cut:
		panic(http.ErrAbortHandler)
	case f.Reply != nil:
		refused = f.Reply
	}
	if refused != nil {
		refused.write(w)
		return
	}
	out, err := protojson.Marshal(answer)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(out)))
	if f.CutBody {
		_, _ = w.Write(out[:len(out)/2])
		_ = http.NewResponseController(w).Flush() // or the client gets nothing, and may ask again
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(out)
}

func (r *Reply) write(w http.ResponseWriter) {
	if r.Body != "" {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(r.Status)
		_, _ = io.WriteString(w, r.Body)
		return
	}
	e := map[string]any{
		"code": r.Status, "message": r.Message,
		"errors": []any{map[string]any{"message": r.Message, "domain": "global", "reason": r.Reason}},
	}
	if r.Info != "" {
		e["details"] = []any{map[string]any{
			"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": r.Info, "domain": "compute.googleapis.com",
		}}
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(r.Status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": e})
}

func notFound(what string) *Reply {
	return &Reply{Status: 404, Reason: "notFound", Message: "The resource '" + what + "' was not found"}
}

func invalid(field, format string, args ...any) *Reply {
	return &Reply{Status: 400, Reason: "invalid", Message: "Invalid value for field '" + field + "': " + fmt.Sprintf(format, args...)}
}

// known refuses projects and zones that do not exist.
func (s *Server) known(r *http.Request) (proto.Message, *Reply) {
	project, zone := r.PathValue("project"), r.PathValue("zone")
	if project != s.opts.Project {
		return nil, notFound("projects/" + project)
	}
	if zone != "" && !slices.Contains(s.opts.Zones, zone) {
		return nil, notFound("projects/" + project + "/zones/" + zone)
	}
	return nil, nil
}

func (s *Server) zone(name string) *computepb.Zone {
	return &computepb.Zone{Kind: proto.String("compute#zone"), Name: proto.String(name), Status: proto.String("UP"), SelfLink: s.link("zones", name)}
}

func (s *Server) getZone(_ *http.Request, c Call, _ Fault) (proto.Message, *Reply) {
	return s.zone(c.Zone), nil
}

func (s *Server) listZones(*http.Request, Call, Fault) (proto.Message, *Reply) {
	l := &computepb.ZoneList{Kind: proto.String("compute#zoneList")}
	for _, z := range s.opts.Zones {
		l.Items = append(l.Items, s.zone(z))
	}
	return l, nil
}

func (s *Server) get(_ *http.Request, c Call, _ Fault) (proto.Message, *Reply) {
	m := s.instances[key{c.Zone, c.Target}]
	if m == nil || !m.visible {
		return nil, s.noVM(key{c.Zone, c.Target})
	}
	return m.pb, nil
}

func (s *Server) noVM(k key) *Reply {
	return notFound("projects/" + s.opts.Project + "/" + k.String())
}

func (s *Server) delete(_ *http.Request, c Call, f Fault) (proto.Message, *Reply) {
	if o, refused := s.repeated(c, "delete"); o != nil || refused != nil {
		return o, refused
	}
	k := key{c.Zone, c.Target}
	m := s.instances[k]
	if m == nil || !m.visible {
		return nil, s.noVM(k)
	}
	if m.pb.GetDeletionProtection() {
		return nil, &Reply{Status: 400, Reason: "invalid", Message: "Invalid resource usage: 'Resource cannot be deleted if it's protected against deletion.'."}
	}
	return s.begin(c, "delete", m.pb.GetId(), f), nil
}

// setMetadata needs the fingerprint of what it replaces, and is done at once.
func (s *Server) setMetadata(_ *http.Request, c Call, f Fault) (proto.Message, *Reply) {
	m := s.instances[key{c.Zone, c.Target}]
	if m == nil || !m.visible {
		return nil, s.noVM(key{c.Zone, c.Target})
	}
	if got, want := c.Metadata.GetFingerprint(), m.pb.GetMetadata().GetFingerprint(); got != want {
		return nil, &Reply{Status: 412, Reason: "conditionNotMet", Message: "Supplied fingerprint does not match current metadata fingerprint."}
	}
	m.pb.Metadata = &computepb.Metadata{Items: c.Metadata.GetItems(), Fingerprint: proto.String(strconv.FormatUint(s.id(), 10))}
	o := s.begin(c, "setMetadata", m.pb.GetId(), f)
	o.Status = computepb.Operation_DONE.Enum()
	return o, nil
}

// repeated is the operation of a request that was made before.
func (s *Server) repeated(c Call, kind string) (proto.Message, *Reply) {
	o := s.requests[c.RequestID]
	if o == nil {
		return nil, nil
	}
	if o.pb.GetOperationType() != kind || o.target != (key{c.Zone, c.Target}) {
		return nil, invalid("requestId", "'%s'. The request ID was used for another request", c.RequestID)
	}
	return o.pb, nil
}

// begin makes an operation.
func (s *Server) begin(c Call, kind string, target uint64, f Fault) *computepb.Operation {
	id := s.id()
	name := fmt.Sprintf("operation-%d", id)
	k := key{c.Zone, c.Target}
	o := &operation{target: k, id: target, fail: f.Fail, pb: &computepb.Operation{
		Kind: proto.String("compute#operation"), Id: proto.Uint64(id), Name: proto.String(name),
		Zone: s.link("zones", c.Zone), SelfLink: s.link("zones", c.Zone, "operations", name),
		OperationType: proto.String(kind), TargetLink: s.link(k.String()), TargetId: proto.Uint64(target),
		Status: computepb.Operation_PENDING.Enum(), Progress: proto.Int32(0), InsertTime: s.stamp(),
		User: proto.String("failover@" + s.opts.Project + ".iam.gserviceaccount.com"),
	}}
	if c.RequestID != "" {
		o.pb.ClientOperationId = proto.String(c.RequestID)
		s.requests[c.RequestID] = o
	}
	s.operations = append(s.operations, o)
	return o.pb
}

func (s *Server) getOperation(_ *http.Request, c Call, _ Fault) (proto.Message, *Reply) {
	for _, o := range s.operations {
		if o.target.zone == c.Zone && o.pb.GetName() == c.Target {
			return o.pb, nil
		}
	}
	return nil, notFound("projects/" + s.opts.Project + "/zones/" + c.Zone + "/operations/" + c.Target)
}

// await answers when the operation is done, or the client has gone.
func (s *Server) await(r *http.Request, answer proto.Message) proto.Message {
	name := answer.(*computepb.Operation).GetName()
	ctx := r.Context()
	_ = s.Wait(ctx, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, o := range s.operations {
			if o.pb.GetName() == name {
				answer = proto.Clone(o.pb)
				return o.done() || s.isClosed()
			}
		}
		return true
	})
	return answer
}

func (s *Server) listInstances(r *http.Request, c Call, f Fault) (proto.Message, *Reply) {
	match, refused := filter(r.URL.Query().Get("filter"))
	if refused != nil {
		return nil, refused
	}
	var all []*computepb.Instance
	for _, k := range s.keys() {
		if m := s.instances[k]; k.zone == c.Zone && m.visible && match(instanceField(m.pb)) {
			all = append(all, m.pb)
		}
	}
	page, next, refused := paged(s, c, all)
	l := &computepb.InstanceList{Kind: proto.String("compute#instanceList"), Items: page, NextPageToken: next}
	l.Warning, l.Items = warn(f, page)
	return l, refused
}

func (s *Server) listOperations(r *http.Request, c Call, f Fault) (proto.Message, *Reply) {
	match, refused := filter(r.URL.Query().Get("filter"))
	if refused != nil {
		return nil, refused
	}
	var all []*computepb.Operation
	for _, o := range s.operations {
		if o.target.zone == c.Zone && match(operationField(o.pb)) {
			all = append(all, o.pb)
		}
	}
	page, next, refused := paged(s, c, all)
	l := &computepb.OperationList{Kind: proto.String("compute#operationList"), NextPageToken: next}
	l.Warning, l.Items = warn(f, page)
	return l, refused
}

func warn[T any](f Fault, page []T) (*computepb.Warning, []T) {
	switch {
	case f.Warning != "":
		return &computepb.Warning{Code: proto.String(f.Warning), Message: proto.String("Some of it did not answer.")}, page[:len(page)/2]
	case len(page) == 0:
		return &computepb.Warning{Code: proto.String("NO_RESULTS_ON_PAGE"), Message: proto.String("There are no results.")}, nil
	}
	return nil, page
}

// paged is the page that a call asks for. A token is the offset, with an "e"
// before it once the empty page has been sent.
func paged[T any](s *Server, c Call, all []T) ([]T, *string, *Reply) {
	size := 500
	if n, err := strconv.Atoi(c.MaxResults); err == nil && n > 0 {
		size = min(size, n)
	}
	if s.pageSize > 0 {
		size = min(size, s.pageSize)
	}
	offset := 0
	if c.PageToken != "" {
		n, err := strconv.Atoi(strings.TrimPrefix(c.PageToken, "e"))
		if err != nil || n < 0 {
			return nil, nil, invalid("pageToken", "'%s'", c.PageToken)
		}
		offset = min(n, len(all))
	}
	if s.emptyPages && !strings.HasPrefix(c.PageToken, "e") {
		return nil, proto.String("e" + strconv.Itoa(offset)), nil
	}
	end := min(offset+size, len(all))
	if end == len(all) {
		return all[offset:end], nil, nil
	}
	return all[offset:end], proto.String(strconv.Itoa(end)), nil
}

// getImage is that of an image, or of the newest of a family: they have one name here.
func (s *Server) getImage(r *http.Request, c Call, _ Fault) (proto.Message, *Reply) {
	if !slices.Contains(s.opts.Images, c.Target) {
		return nil, notFound("projects/" + r.PathValue("project") + "/global/images/" + c.Target)
	}
	return &computepb.Image{Name: proto.String(c.Target), Labels: s.opts.Labels[c.Target]}, nil
}
