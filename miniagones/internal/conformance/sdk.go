package conformance

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"torikumi/pkg/agones"
	allocationpb "torikumi/proto/agones/allocation"
)

func (s *harness) watchSeesTogether(t *testing.T) {
	resp := s.allocate(t, s.request(map[string]string{"torikumi/match": "m-watch"}))
	s.wait(t, "the server sees its allocation", func() bool {
		return slices.ContainsFunc(s.watched(t, resp), func(v Seen) bool { return v.State == agones.Allocated })
	})
	last := ""
	for _, v := range s.watched(t, resp) {
		if (v.State == agones.Allocated) != (v.Labels["torikumi/match"] == "m-watch") {
			t.Errorf("saw %s with labels %v: state and label have to come together", v.State, v.Labels)
		}
		if v.ResourceVersion == last {
			t.Errorf("saw version %s twice in a row", last)
		}
		last = v.ResourceVersion
	}
}

func (s *harness) readyAgain(t *testing.T) {
	resp := s.allocate(t, s.request(map[string]string{"torikumi/match": "m-again"}))
	// Ready servers beyond the wanted number are taken away: wait until this
	// one is, or is Ready.
	s.command(t, resp, "READY")
	s.wait(t, "the server is Ready again or spared", func() bool {
		g := s.get(t, resp.GetGameServerName())
		if g != nil && g.GetLabels()["torikumi/match"] != "m-again" {
			t.Fatalf("labels %v: want them kept", g.GetLabels())
		}
		return g == nil || g.GetState() != agones.Allocated
	})
}

func (s *harness) sdkMetadata(t *testing.T) {
	resp := s.allocate(t, s.request(nil))
	s.command(t, resp, "LABEL map desert")
	s.command(t, resp, "ANNOTATION mood good:fine")
	s.wait(t, "label and annotation are there", func() bool {
		g := s.get(t, resp.GetGameServerName())
		return g.GetLabels()[agones.SDKPrefix+"map"] == "desert" && g.GetAnnotations()[agones.SDKPrefix+"mood"] == "good:fine"
	})
	for _, command := range []string{"LABEL map a:b", "LABEL -map v", "LABEL map " + strings.Repeat("x", 64), "LABEL", "ANNOTATION a/b/c v", "ANNOTATION"} {
		if _, err := Command(t.Context(), address(resp), command); err == nil || !strings.Contains(err.Error(), "InvalidArgument") {
			t.Errorf("%s: got %v, want InvalidArgument", command, err)
		}
	}
	var shown struct {
		ObjectMeta struct {
			Name      string            `json:"name"`
			Namespace string            `json:"namespace"`
			Labels    map[string]string `json:"labels"`
		} `json:"object_meta"`
		Status struct {
			State string `json:"state"`
		} `json:"status"`
	}
	if err := json.Unmarshal([]byte(s.command(t, resp, "GAMESERVER")), &shown); err != nil {
		t.Fatal(err)
	}
	if shown.ObjectMeta.Name != resp.GetGameServerName() || shown.ObjectMeta.Namespace != s.target.Namespace ||
		shown.ObjectMeta.Labels[agones.SDKPrefix+"map"] != "desert" || shown.Status.State != agones.Allocated {
		t.Errorf("the server sees itself as %+v", shown)
	}
}

func (s *harness) selfAllocation(t *testing.T) {
	resp := s.allocate(t, s.request(nil))
	before := resp.GetMetadata().GetAnnotations()[agones.LastAllocatedAnnotation]
	s.command(t, resp, "ALLOCATE")
	s.wait(t, "the time of the allocation is newer", func() bool {
		g := s.get(t, resp.GetGameServerName())
		return g.GetState() == agones.Allocated && g.GetAnnotations()[agones.LastAllocatedAnnotation] != before
	})
}

func (s *harness) reserve(t *testing.T) {
	resp := s.allocate(t, s.request(nil))
	name := resp.GetGameServerName()
	s.command(t, resp, "RESERVE 1")
	s.wait(t, "the server was Reserved and is Ready or spared", func() bool {
		g := s.get(t, name)
		return g == nil || g.GetState() != agones.Reserved && g.GetState() != agones.Allocated
	})
	other := s.allocate(t, s.request(nil))
	s.command(t, other, "RESERVE 0")
	s.wait(t, "the server is Reserved", func() bool { return s.get(t, other.GetGameServerName()).GetState() == agones.Reserved })
	s.full(t)
	if got := s.get(t, other.GetGameServerName()).GetState(); got != agones.Reserved {
		t.Errorf("a reservation without end is %s", got)
	}
}

func (s *harness) shutdown(t *testing.T) {
	s.end(t, s.allocate(t, s.request(nil)), "SHUTDOWN")
	s.full(t)
}

func (s *harness) crash(t *testing.T) {
	s.end(t, s.allocate(t, s.request(nil)), "EXIT 7")
	s.full(t)
}

// sdkCounts: a server gives back what an allocation took, and gets the next match by
// that.
func (s *harness) sdkCounts(t *testing.T) {
	if !s.target.Counted {
		t.Skip("the servers have no counters and lists")
	}
	req := s.request(nil)
	req.Counters = map[string]*allocationpb.CounterAction{"rooms": {Action: wrapperspb.String("Increment"), Amount: wrapperspb.Int64(3)}}
	req.Lists = map[string]*allocationpb.ListAction{"ids": {AddValues: []string{"a"}}}
	resp := s.allocate(t, req)
	for _, c := range []struct{ command, want string }{
		{"COUNTER rooms 2", "out of range"}, {"COUNTER rooms -4", "out of range"}, {"COUNTER rooms -2", "1/4"}, {"COUNTER rooms 9223372036854775807", "out of range"},
		{"COUNTER none 1", "not found"}, {"COUNTER rooms 0", "invalid argument"},
		{"ADDVALUE ids b", "a,b"}, {"ADDVALUE ids b", "out of range"}, {"ADDVALUE ids c", "out of range"}, {"ADDVALUE none c", "not found"},
		{"REMOVEVALUE ids a", "b"}, {"REMOVEVALUE ids a", "not found"}, {"REMOVEVALUE none a", "not found"},
	} {
		got, err := Command(t.Context(), address(resp), c.command)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: got %s, want %s", c.command, got, c.want)
		}
	}
	var shown struct {
		Status struct {
			Counters map[string]struct{ Count, Capacity string } `json:"counters"`
			Lists    map[string]struct{ Values []string }        `json:"lists"`
		} `json:"status"`
	}
	if err := json.Unmarshal([]byte(s.command(t, resp, "GAMESERVER")), &shown); err != nil {
		t.Fatal(err)
	}
	if c := shown.Status.Counters["rooms"]; c.Count != "1" || c.Capacity != "4" || !slices.Equal(shown.Status.Lists["ids"].Values, []string{"b"}) {
		t.Errorf("the server sees itself as %+v", shown)
	}
	next := s.request(nil)
	for _, sel := range next.GetGameServerSelectors() {
		sel.GameServerState = allocationpb.GameServerSelector_ALLOCATED
		sel.Counters = map[string]*allocationpb.CounterSelector{"rooms": {MinCount: 1, MinAvailable: 3}}
	}
	s.wait(t, "there is room for another match", func() bool {
		again, err := s.allocator.Allocate(t.Context(), next)
		return err == nil && again.GetGameServerName() == resp.GetGameServerName()
	})
}
