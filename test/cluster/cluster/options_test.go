package cluster

import (
	"net/netip"
	"strings"
	"testing"
)

func TestOptionsSayAllThatIsWrong(t *testing.T) {
	o := Options{
		Name:    "Not_this",
		State:   "/tmp/a:b",
		NodeNet: netip.MustParsePrefix("10.0.0.0/25"),
		PodNet:  netip.MustParsePrefix("10.0.0.1/8"),
		Timeout: -1,
		Images:  []string{"/does/not/exist.tar"},
		Nodes: []NodeOptions{
			{Name: "a", Labels: map[string]string{"key with spaces": "x"}},
			{Name: "a", Taints: []string{"key:Sometimes"}},
			{Name: "control-plane"},
		},
	}
	err := o.complete()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{`"Not_this"`, "/24 or larger", "/16 or larger", "must not overlap", "timeout", "no comma", "exist.tar",
		"key with spaces", "key:Sometimes", `"a" twice`, `"control-plane"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %s:\n%v", want, err)
		}
	}
}

func TestDefaults(t *testing.T) {
	var o Options
	if err := o.complete(); err != nil {
		t.Fatal(err)
	}
	if o.Name != DefaultName || len(o.Nodes) != 2 || !strings.HasSuffix(o.State, "/torikumi/clusters/torikumi") {
		t.Errorf("the defaults are %+v", o)
	}
}

func TestNetworksOfClusters(t *testing.T) {
	for _, c := range []struct {
		net     string
		bits, i int
		want    string
	}{
		{"10.77.0.0/16", 24, 0, "10.77.0.0/24"},
		{"10.77.0.0/16", 24, 5, "10.77.5.0/24"},
		{"10.128.0.0/10", 16, 63, "10.191.0.0/16"},
		{"192.168.0.0/24", 32, 1, "192.168.0.1/32"},
	} {
		if got := subnet(netip.MustParsePrefix(c.net), c.bits, c.i); got.String() != c.want {
			t.Errorf("network %d of %s is %s, want %s", c.i, c.net, got, c.want)
		}
	}
}

func TestNodesGetNumbersOfTheirOwn(t *testing.T) {
	c := newCluster(t.TempDir(), &state{})
	for i, name := range []string{"a", "b"} {
		n, err := c.record(NodeOptions{Name: name})
		if err != nil || n.Number != firstNumber+i {
			t.Errorf("node %s has number %d, %v", name, n.Number, err)
		}
	}
	if _, err := c.record(NodeOptions{Name: "a"}); err == nil {
		t.Error("a second node of the same name is taken")
	}
	s, err := readState(c.Folder)
	if err != nil || len(s.Nodes) != 2 {
		t.Errorf("the state remembers %v, %v", s, err)
	}
}
