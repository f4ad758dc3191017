package conformance

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"torikumi/pkg/agones"
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
