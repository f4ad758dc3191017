//go:build unix

package clusterattach_test

import (
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gameclient "torikumi/gameserver/client"
	"torikumi/miniagones/kubernetes/attach"
	"torikumi/pkg/agones"
	"torikumi/pkg/contract"
	"torikumi/pkg/eventually"
	"torikumi/pkg/queues"

	v1 "torikumi/miniagones/kubernetes/api/v1"
)

// TestMatches: matches of a cluster are played on a server that a developer has started,
// one after the other, by its players alone, and nothing is left behind.
func TestMatches(t *testing.T) {
	d := newDesk(t, "matches")
	d.hasNone("m-none")
	a := d.attach()
	a.says("Ready, the next match", 1)
	a.says("TORIKUMI_GATE=http://127.0.0.1:"+strconv.Itoa(d.gate), 1)
	editor := d.editor()
	for i, match := range []string{"m-1", "m-2"} {
		resp := d.allocate(match, "ann", "bob")
		if resp.GetAddress() != "127.0.0.1" || resp.GetPorts()[0].GetPort() != int32(d.port) || resp.GetPorts()[0].GetName() != "game" {
			t.Fatalf("allocated: %v", resp)
		}
		a.says("Allocated for match "+match, 1)
		name := resp.GetGameServerName()
		raw := d.token(name, match, "ann")
		ann, err := d.enter(resp, raw)
		if err != nil {
			t.Fatal(err)
		}
		var refused *gameclient.RefusedError
		if _, err := d.enter(resp, raw); !errors.As(err, &refused) || refused.Reason != "replayed" {
			t.Errorf("the token again: %v", err)
		}
		if _, err := d.enter(resp, d.token(name, match, "eve")); !errors.As(err, &refused) || refused.Reason != "not_on_roster" {
			t.Errorf("a stranger: %v", err)
		}
		bob, err := d.enter(resp, d.token(name, match, "bob"))
		if err != nil {
			t.Fatal(err)
		}
		eventually.True(t, "the cluster sees that players have come", func() bool {
			all := d.servers()
			return len(all) == 1 && all[0].Annotations[contract.AdmittedAnnotation] == match
		})
		ann.leave()
		bob.leave()
		a.says("Shutdown, the match is over", i+1)
		editor.ends() // as in a cluster
		editor = d.editor()
		a.says("Ready, the next match", i+2)
	}
	if code := a.signal(syscall.SIGINT); code != 0 || !strings.Contains(a.out.String(), "Detached.") || strings.Contains(a.out.String(), "was not over") {
		t.Errorf("exit code %d:\n%s", code, a.out)
	}
	if strings.Contains(a.out.String(), "eyJ") {
		t.Error("a token is printed")
	}
	d.nothingLeft()
}

// TestStoppedWhilePlaying: the players' server is gone, and the developer is told.
func TestStoppedWhilePlaying(t *testing.T) {
	d := newDesk(t, "stopped")
	a := d.attach("--once", "--wait-ready")
	a.says("waits until the server says Ready", 1)
	d.hasNone("m-early")
	d.editor()
	a.says("Ready, the next match", 1)
	resp := d.allocate("m-1", "ann")
	if _, err := d.enter(resp, d.token(resp.GetGameServerName(), "m-1", "ann")); err != nil {
		t.Fatal(err)
	}
	a.says("Allocated for match m-1", 1)
	if code := a.signal(syscall.SIGTERM); code != 0 || !strings.Contains(a.out.String(), "Match m-1 was not over: its players have lost their server.") {
		t.Errorf("exit code %d:\n%s", code, a.out)
	}
	d.nothingLeft()
}

// TestKilled: the guard detaches; if that is killed too, the next one who attaches at the
// address does, once the server is seen not to be kept, also if it has a match.
func TestKilled(t *testing.T) {
	d := newDesk(t, "killed")
	a := d.attach()
	a.says("Ready, the next match", 1)
	a.signal(syscall.SIGKILL)
	d.nothingLeft()

	// Ctrl-\, which the guard gets too, and a guard that dies first.
	a = d.attach()
	a.says("Ready, the next match", 1)
	killGuard(t, a.cmd.Process.Pid)
	a.says("another one is started", 1)
	eventually.True(t, "there is another guard", func() bool { return guardOf(t, a.cmd.Process.Pid) != 0 })
	if err := syscall.Kill(-a.cmd.Process.Pid, syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	a.ends()
	d.nothingLeft()

	a = d.attach()
	a.says("Ready, the next match", 1)
	d.allocate("m-1", "ann")
	left := d.servers()[0]
	if err := a.cmd.Process.Signal(syscall.SIGSTOP); err != nil { // it would start another guard
		t.Fatal(err)
	}
	killGuard(t, a.cmd.Process.Pid)
	a.signal(syscall.SIGKILL)
	elsewhere := *d
	elsewhere.port, elsewhere.sdk, elsewhere.rest, elsewhere.gate = d.freePort(), d.freePort(), d.freePort(), d.freePort()
	b := elsewhere.attach()
	b.says("Ready, the next match", 1)
	a = d.attach()
	a.says(left.Name+": has the address, and match m-1, attached by ", 1)
	a.says("Ready, the next match", 1)
	if all := d.servers(); len(all) != 2 || slices.ContainsFunc(all, func(gs v1.GameServer) bool { return gs.UID == left.UID }) {
		t.Errorf("%d servers, want two that are kept", len(all))
	}
	if code := errors.Join(a.stops(), b.stops()); code != nil {
		t.Error(code)
	}
	d.nothingLeft()
}

// killGuard kills the only child of a process.
func killGuard(t *testing.T, pid int) {
	t.Helper()
	guard := guardOf(t, pid)
	if guard == 0 {
		t.Fatal("there is no guard")
	}
	if err := syscall.Kill(guard, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// guardOf finds it; 0: there is none.
func guardOf(t *testing.T, pid int) int {
	t.Helper()
	all, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/children")
	if err != nil || len(all) == 0 {
		t.Skip("the children of a process cannot be found here")
	}
	for _, file := range all {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		for _, f := range strings.Fields(string(text)) {
			child, err := strconv.Atoi(f)
			if err != nil {
				t.Fatal(err)
			}
			if ended, err := os.ReadFile("/proc/" + f + "/cmdline"); err == nil && len(ended) > 0 {
				return child
			}
		}
	}
	return 0
}

// TestTwice: a second one on the same ports, and one of the same address.
func TestTwice(t *testing.T) {
	d := newDesk(t, "twice")
	a := d.attach()
	a.says("Ready, the next match", 1)
	d.attach().fails("address already in use: the port has ", "(process "+strconv.Itoa(a.cmd.Process.Pid)+")", "--sdk-grpc-port chooses another", "all four")
	other := *d
	other.sdk, other.rest, other.gate = d.freePort(), d.freePort(), d.freePort()
	other.attach().fails("127.0.0.1:"+strconv.Itoa(d.port)+" is attached already", "@", "detach it there")
	other.port = d.freePort()
	b := other.attach()
	b.says("Ready, the next match", 1)
	if n := len(d.servers()); n != 2 {
		t.Errorf("%d servers, want 2", n)
	}
	if a.signal(syscall.SIGINT) != 0 || b.signal(syscall.SIGINT) != 0 {
		t.Error("they do not end well")
	}
	d.nothingLeft()
	// The port of the gate alone is taken: what was made in the cluster is taken back.
	lis, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(d.gate)))
	if err != nil {
		t.Fatal(err)
	}
	d.attach().fails("start the gate", "address already in use", "--gate-port chooses another")
	if err := lis.Close(); err != nil {
		t.Fatal(err)
	}
	d.nothingLeft()
}

// TestDeleted: somebody deletes the GameServer in the cluster, and another takes its place.
func TestDeleted(t *testing.T) {
	d := newDesk(t, "deleted")
	a := d.attach()
	a.says("Ready, the next match", 1)
	gs := d.servers()[0]
	if err := d.cluster.Admin.Delete(t.Context(), &gs); err != nil {
		t.Fatal(err)
	}
	a.says(gs.Name+": deleted by somebody", 1)
	a.says("Ready, the next match", 2)
	if code := a.signal(syscall.SIGINT); code != 0 {
		t.Errorf("exit code %d", code)
	}
	d.nothingLeft()

	// With --once that is no match, but one that it ends is.
	a = d.attach("--once")
	a.says("Ready, the next match", 1)
	gs = d.servers()[0]
	if err := d.cluster.Admin.Delete(t.Context(), &gs); err != nil {
		t.Fatal(err)
	}
	a.says("Ready, the next match", 2)
	d.allocate("m-1", "ann")
	a.says("Allocated for match m-1", 1)
	gs = d.servers()[0]
	if err := d.cluster.Admin.Delete(t.Context(), &gs); err != nil {
		t.Fatal(err)
	}
	if code := a.ends(); code != 0 || !strings.HasSuffix(a.out.String(), "Match m-1 was not over: its players have lost their server.\nDetached.\n") {
		t.Errorf("exit code %d", code)
	}
	d.nothingLeft()
}

// TestSilent: with --health-timeout a server that was killed ends its match.
func TestSilent(t *testing.T) {
	d := newDesk(t, "silent")
	a := d.attach("--once", "--health-timeout=6s")
	a.says("Ready, the next match", 1)
	editor := d.editor()
	resp := d.allocate("m-1", "ann")
	if _, err := d.enter(resp, d.token(resp.GetGameServerName(), "m-1", "ann")); err != nil {
		t.Fatal(err)
	}
	editor.signal(syscall.SIGKILL)
	a.says("it has given no sign of life", 1)
	if code := a.ends(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	d.nothingLeft()
}

// TestRefused: what cannot work says why, and leaves nothing behind.
func TestRefused(t *testing.T) {
	d := newDesk(t, "refused")
	dir := t.TempDir()
	rubbish := filepath.Join(dir, "rubbish")
	if err := os.WriteFile(rubbish, []byte("rubbish: [\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	nobody := filepath.Join(dir, "nobody")
	text, err := os.ReadFile(d.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	away := strings.ReplaceAll(string(text), d.cluster.Config.Host, "https://127.0.0.1:1")
	if err := os.WriteFile(nobody, []byte(away), 0o600); err != nil || away == string(text) {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args  []string
		words []string
	}{
		{[]string{"--kubeconfig=" + filepath.Join(dir, "none")}, []string{"--kubeconfig: must be a kubeconfig file", "none"}},
		{[]string{"--kubeconfig=" + rubbish}, []string{"--kubeconfig: must be a kubeconfig file"}},
		{[]string{"--context=other"}, []string{"--context", `"other"`}},
		{[]string{"--kubeconfig=" + nobody}, []string{"the cluster at https://127.0.0.1:1 can't be reached", "--kubeconfig"}},
		{[]string{"--kubeconfig=" + d.userOf("visitors")}, []string{"has no right to get, list, watch, create, patch, delete gameservers.agones.dev in namespace refused", "docs/game-server.md"}},
		{[]string{"--fleet=other"}, []string{"--fleet: must be one of arena"}},
		{[]string{"--jwks-url=http://127.0.0.1:1/jwks.json"}, []string{"the frontend's keys at http://127.0.0.1:1/jwks.json", "--jwks-url"}},
		{[]string{"--jwks-url=http://nowhere.invalid/jwks.json"}, []string{`--jwks-url: must be https, or inside the cluster, or on this machine; --allow-http-jwks takes plain HTTP too, got "http://nowhere.invalid/jwks.json"`}},
		{[]string{"--jwks-url=http://nowhere.invalid/jwks.json", "--allow-http-jwks"}, []string{"the frontend's keys at http://nowhere.invalid/jwks.json"}},
		{[]string{"--jwks-url=http://frontend.torikumi.svc:8080/jwks.json"}, []string{"the frontend's keys at http://frontend.torikumi.svc:8080/jwks.json"}},
	} {
		d.attach(c.args...).fails(c.words...)
		d.nothingLeft()
	}
	if err := d.cluster.Admin.DeleteAllOf(t.Context(), &v1.Fleet{}, client.InNamespace(d.namespace)); err != nil {
		t.Fatal(err)
	}
	d.attach().fails("must have a Fleet")
	wrong := d.run("attach", "--port=0", "--host=0.0.0.0", "--gate-port=9357", "--health-timeout=-1s")
	if code := wrong.ends(); code != 2 {
		t.Errorf("exit code %d for wrong settings", code)
	}
	for _, want := range []string{"--kubeconfig", "--port", "--host", "--gate-port", "--health-timeout"} {
		if !strings.Contains(wrong.out.String(), want+":") {
			t.Errorf("the message lacks %s:\n%s", want, wrong.out)
		}
	}
}

// TestPreferred: a queue can prefer attached servers by their label.
func TestPreferred(t *testing.T) {
	d := newDesk(t, "preferred")
	a := d.attach()
	a.says("Ready, the next match", 1)
	gs := d.servers()[0]
	if gs.Labels[attach.Label] != "true" || gs.Labels["game"] != "raid" || gs.Annotations[agones.DevAddressAnnotation] != "127.0.0.1" {
		t.Errorf("labels %v, annotations %v", gs.Labels, gs.Annotations)
	}
	set, err := queues.Parse([]byte(`{queues: [{name: duel, teams: [{name: east, players: 1}, {name: west, players: 1}], skill: {attribute: skill, window: 200}, allocation: {selectors: [{labels: {torikumi/attached: "true"}}, {}]}}]}`))
	if err != nil || set.Queues[0].Allocation.Selectors[0].Labels[attach.Label] != "true" {
		t.Errorf("a queue that prefers attached servers: %v", err)
	}
	if s := gs.Status; s.Counters["rounds"] != (v1.CounterStatus{Count: 1, Capacity: 9}) || !slices.Equal(s.Lists["maps"].Values, []string{"desert"}) {
		t.Errorf("counters %v, lists %v", s.Counters, s.Lists)
	}
	// The SDK is the server's: what it sets is in the cluster.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://127.0.0.1:"+strconv.Itoa(d.rest)+"/metadata/label", strings.NewReader(`{"key":"map","value":"desert"}`))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if got := d.servers()[0].Labels["agones.dev/sdk-map"]; got != "desert" {
		t.Errorf("label %q, status %s", got, resp.Status)
	}
	if code := a.signal(syscall.SIGINT); code != 0 {
		t.Errorf("exit code %d", code)
	}
	d.nothingLeft()
}

// TestGateFirst: no match is sent to a server that has no gate yet, and none to one whose
// gate stops.
func TestGateFirst(t *testing.T) {
	d := newIdleDesk(t, "gate-first")
	a := d.attach("--wait-ready")
	a.says("waits for the controller of Agones", 1)
	gs := d.servers()[0]
	d.ready()
	if label := d.servers()[0].Labels[contract.AllocatableLabel]; label != "" {
		t.Fatalf("label %q before there is a gate", label)
	}
	changes := d.watch()
	d.patch(&gs, `{"status":{"state":"Ready"}}`)
	a.says("Ready, the next match", 1)
	d.gateAnswers()
	if code := a.signal(syscall.SIGINT); code != 0 {
		t.Errorf("exit code %d", code)
	}
	d.nothingLeft()
	var labels []string
	for e := range changes {
		if gs, ok := e.Object.(*v1.GameServer); ok && e.Type != watch.Bookmark {
			labels = append(labels, gs.Labels[contract.AllocatableLabel])
		}
		if e.Type == watch.Deleted {
			break
		}
	}
	if labels = slices.Compact(labels); !slices.Equal(labels, []string{"", "true", ""}) {
		t.Errorf("the label's values are %q", labels)
	}

	// Somebody allocates without asking for the label, faster than it is seen.
	a = d.attach("--wait-ready")
	eventually.True(t, "there is a GameServer", func() bool { return len(d.servers()) == 1 })
	gs = d.servers()[0]
	d.patch(&gs, `{"metadata":{"labels":{"torikumi/match":"m-1"}},"status":{"state":"Allocated"}}`)
	a.says("Allocated for match m-1", 1)
	d.gateAnswers()
	if code := a.signal(syscall.SIGINT); code != 0 || !strings.Contains(a.out.String(), "Match m-1 was not over") {
		t.Errorf("exit code %d", code)
	}
	d.nothingLeft()
}

// TestError: what a cluster says of a GameServer that it does not take is shown, as the
// GameServer is deleted.
func TestError(t *testing.T) {
	d := newIdleDesk(t, "error")
	a := d.attach()
	eventually.True(t, "there is a GameServer", func() bool { return len(d.servers()) == 1 })
	gs := d.servers()[0]
	d.create(&corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: d.namespace, Name: "why"}, Type: corev1.EventTypeWarning, Reason: "Failed", Message: "spec.ports: must be odd",
		InvolvedObject: corev1.ObjectReference{Kind: "GameServer", Namespace: d.namespace, Name: gs.Name, UID: gs.UID},
	})
	d.patch(&gs, `{"status":{"state":"Error"}}`)
	a.fails("GameServer error/" + gs.Name + " into the state Error: spec.ports: must be odd")
	d.nothingLeft()
}

// TestHiccup: what the API server refuses for a while is made again.
func TestHiccup(t *testing.T) {
	d := newDesk(t, "hiccup")
	f := newFront(t, d.cluster)
	d.login(f, "good")
	f.takes("good", nil)
	a := d.attach()
	a.says("Ready, the next match", 1)
	gs, failures := d.servers()[0], 0
	f.takes("good", func(r *http.Request) bool {
		if failures == 3 || r.Method != http.MethodPost {
			return false
		}
		failures++
		return true
	})
	if err := d.cluster.Admin.Delete(t.Context(), &gs); err != nil {
		t.Fatal(err)
	}
	a.says("leader changed", 1)
	a.says("Ready, the next match", 2)
	if code := a.signal(syscall.SIGINT); code != 0 {
		t.Errorf("exit code %d", code)
	}
	d.nothingLeft()
}

// TestHiccupAtEnd: a GameServer whose deletion is refused for a while is deleted before there
// is another one.
func TestHiccupAtEnd(t *testing.T) {
	d := newIdleDesk(t, "hiccup-at-end")
	f := newFront(t, d.cluster)
	d.login(f, "good")
	var deletions, before atomic.Int32 // all, and those before the last GameServer was made
	f.takes("good", func(r *http.Request) bool {
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/gameservers") {
			before.Store(deletions.Load())
		}
		return r.Method == http.MethodDelete && deletions.Add(1) <= 3
	})
	a := d.attach()
	eventually.True(t, "there is a GameServer", func() bool { return len(d.servers()) == 1 })
	gs := d.servers()[0]
	d.patch(&gs, `{"status":{"state":"Ready"}}`)
	a.says("Ready, the next match", 1)
	d.patch(&gs, `{"status":{"state":"Unhealthy"}}`)
	eventually.Within(t, time.Minute, "there is another GameServer", func() error {
		if !slices.ContainsFunc(d.servers(), func(other v1.GameServer) bool { return other.UID != gs.UID }) {
			return errors.New("there is none")
		}
		return nil
	})
	if n := before.Load(); n != 4 {
		t.Errorf("%d deletions before there is another GameServer, want 3 that fail and one more", n)
	}
	a.says("leader changed", 1)
	if code := a.signal(syscall.SIGINT); code != 0 {
		t.Errorf("exit code %d", code)
	}
	d.nothingLeft()
}

// TestOutOfReach: a match goes on while its machine cannot reach the cluster, though others
// are attached, who delete what is left behind without one. That they cannot do so is said once.
func TestOutOfReach(t *testing.T) {
	d := newDesk(t, "out-of-reach")
	other := *d
	other.port, other.sdk, other.rest, other.gate = d.freePort(), d.freePort(), d.freePort(), d.freePort()
	f := newFront(t, d.cluster)
	d.login(f, "one")
	f.takes("one", nil)
	a := d.attach()
	a.says("Ready, the next match", 1)
	d.editor()
	resp := d.allocate("m-1", "ann")
	ann, err := d.enter(resp, d.token(resp.GetGameServerName(), "m-1", "ann"))
	if err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "the cluster sees that ann has come", func() bool { return d.servers()[0].Annotations[contract.AdmittedAnnotation] == "m-1" })
	match := d.servers()[0]
	f.takes("two", nil)
	a.says("the cluster does not hear of the server", 1)

	// What is seen to stand still after the match, and deleted after it: the list is by name.
	leave := func(name string) *v1.GameServer {
		gs := match.DeepCopy()
		gs.ObjectMeta = metav1.ObjectMeta{Namespace: d.namespace, Name: name, Labels: map[string]string{attach.Label: "true"}, Annotations: map[string]string{agones.DevAddressAnnotation: "192.0.2.1"}}
		gs.Status = v1.GameServerStatus{}
		d.create(gs)
		return gs
	}
	late := leave("late")
	leave("left")
	g := newFront(t, d.cluster)
	other.login(g, "good")
	var refused, renewed int
	g.takes("good", func(r *http.Request) bool {
		switch {
		case r.Method == http.MethodPatch && refused > 0:
			renewed++
		case r.Method == http.MethodDelete && strings.HasSuffix(r.URL.Path, "/left") && (refused < 3 || renewed < 3):
			refused++
			return true
		case r.Method == http.MethodDelete && strings.HasSuffix(r.URL.Path, "/late"): // a match is faster
			err := d.cluster.Admin.Patch(t.Context(), late, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"torikumi/match":"m-2"}},"status":{"state":"Allocated"}}`)))
			if err != nil {
				t.Error(err)
			}
		}
		return false
	})
	b := other.attach()
	b.says("Ready, the next match", 1)
	b.says("attached servers that nobody keeps are deleted again", 1)
	var names []string
	for _, gs := range d.servers() {
		names = append(names, gs.Name)
	}
	if len(names) != 3 || !slices.Contains(names, match.Name) || !slices.Contains(names, "late") || slices.Contains(names, "left") {
		t.Errorf("GameServers %q, want that which is kept, and those with a match, %s and late", names, match.Name)
	}
	if err := d.cluster.Admin.Delete(t.Context(), late); err != nil {
		t.Error(err)
	}
	if out := b.out.String(); strings.Count(out, "attached servers that nobody keeps cannot be deleted") != 1 || strings.Contains(out, "of the server") {
		t.Error("it is not said once that others' servers are not deleted, and nothing of the own")
	}

	d.login(f, "two")
	a.says("the cluster hears of the server again", 1)
	ann.leave()
	a.says("Shutdown, the match is over", 1)
	if code := errors.Join(a.stops(), b.stops()); code != nil {
		t.Error(code)
	}
	d.nothingLeft()
}

// TestUnwatched: that the cluster hears of the server again is not said while its matches are
// not heard of.
func TestUnwatched(t *testing.T) {
	d := newDesk(t, "unwatched")
	f := newFront(t, d.cluster)
	d.login(f, "good")
	f.takes("good", nil)
	a := d.attach()
	a.says("Ready, the next match", 1)
	f.takes("good", func(r *http.Request) bool { return r.Method == http.MethodGet })
	f.disconnect()
	a.says("the cluster does not hear of the server", 1)
	mark := func() string { return d.servers()[0].Annotations["torikumi/attached-renewed"] }
	for range 2 {
		last := mark()
		eventually.True(t, "the server is marked as attached", func() bool { return mark() != last })
	}
	if strings.Contains(a.out.String(), "hears of the server again") {
		t.Error("it is said that all is well")
	}
	f.takes("good", nil)
	a.says("the cluster hears of the server again", 1)
	if code := a.signal(syscall.SIGINT); code != 0 {
		t.Errorf("exit code %d", code)
	}
	d.nothingLeft()
}

// TestExpired: credentials that are not taken any more are said at once; who logs in again
// goes on, also at the end.
func TestExpired(t *testing.T) {
	d := newDesk(t, "expired")
	f := newFront(t, d.cluster)
	d.login(f, "one")
	f.takes("one", nil)
	a := d.attach()
	a.says("Ready, the next match", 1)
	f.takes("two", nil)
	a.says("log in to the cluster again", 1)
	d.login(f, "two")
	a.says("the cluster hears of the server again", 1)
	d.allocate("m-1", "ann")
	a.says("Allocated for match m-1", 1)
	f.takes("three", nil)
	a.says("log in to the cluster again", 2)
	if err := a.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	a.says("GameServer expired/"+d.servers()[0].Name+" is not deleted yet, attempts go on for 2m0s: the cluster at "+f.url+" does not take the credentials", 1)
	d.login(f, "three")
	if code := a.ends(); code != 0 || !strings.Contains(a.out.String(), "Detached.") || strings.Contains(a.out.String(), "left behind") {
		t.Errorf("exit code %d", code)
	}
	d.nothingLeft()
}
