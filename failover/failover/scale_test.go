package failover_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/internal/controller"
	"torikumi/failover/internal/controlplane"
	"torikumi/failover/internal/gameserver"
	"torikumi/failover/internal/gce/fake"
	"torikumi/pkg/agones"
	"torikumi/pkg/contract"
)

// size is that of a cluster, and what happens in it.
type size struct {
	nodes, servers int // servers of each node
	batch          int // nodes that fail at once
	grace, idle    time.Duration
}

// BenchmarkScale runs the program itself, against a real API server and a fake
// Compute Engine, in a cluster of 100 watched nodes with 10 game servers each.
// First nothing happens but heartbeats, for a minute; then each node fails
// once, four at a time. Delays are measured from outside, by watches.
//
//	idle-cpu-%, rss-MB, peak-MB   of the program, idle and at the end
//	idle-requests/min             to the API server, without watches
//	idle-lists                    among them, in all
//	withdraw, insert, taint, all  ms after the grace (all Ready servers shut down), the grace, the Ready temporary node; insert and taint
func BenchmarkScale(b *testing.B) {
	for b.Loop() {
		newScale(b, size{nodes: 100, servers: 10, batch: 4, grace: 5 * time.Second, idle: time.Minute}, b.ReportMetric).run()
	}
}

// TestProgram is the same for a few nodes, and measures nothing: the program
// with its flags and Google's client library, from a kubeconfig to the end of
// its failovers. Each node has too many game servers for two to share a VM, and
// too few fail at once for a storm.
func TestProgram(t *testing.T) {
	newScale(t, size{nodes: 6, servers: 7, batch: 2, grace: time.Second, idle: time.Second}, func(float64, string) {}).run()
}

// scale is the measurement under way.
type scale struct {
	testing.TB
	size
	measured func(float64, string)

	admin client.WithWatch
	games string
	cloud *fake.Server
	proxy *counting
	pid   int

	mu    sync.Mutex
	seen  map[string]time.Time // by kind and name, when it was first seen
	moved chan struct{}
}

func newScale(b testing.TB, of size, measured func(float64, string)) *scale {
	c := controlplane.Start(b, controlplane.Options{})
	scheme, err := controller.Scheme()
	if err != nil {
		b.Fatal(err)
	}
	cfg := rest.CopyConfig(c.Config)
	cfg.QPS, cfg.Burst = -1, 0 // what is measured is the program, not this client
	admin, err := client.NewWithWatch(cfg, client.Options{Scheme: scheme})
	if err != nil {
		b.Fatal(err)
	}
	s := &scale{TB: b, size: of, measured: measured, admin: admin, seen: map[string]time.Time{}, moved: make(chan struct{}, 1)}
	if err := admin.Create(b.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		b.Fatal(err)
	}
	c.InstallCRDs(b, manifests+"/crd", "testdata/gameserver-crd.yaml")
	c.Apply(b, manifests+"/rbac.yaml", manifests+"/bootstrap.yaml", manifests+"/admission.yaml")
	c.Bootstrap(b)
	s.games = c.Namespace(b)
	s.proxy = newCounting(b, c.ConfigFor(b, namespace, account))
	s.cloud = fake.New(fake.Options{OnBoot: func(_ context.Context, vm fake.VM, _ string) {
		s.mark("insert/" + vm.Labels["onprem-node"])
		s.setNode(vm.Name, corev1.ConditionTrue, map[string]string{"node-type": "gcp-temporary", "node-location": "gcp", "hardware": "game-runner"},
			"gce://"+s.cloud.Project()+"/"+vm.Zone+"/"+vm.Name)
		s.mark("joined/" + vm.Labels["onprem-node"])
	}})
	b.Cleanup(s.cloud.Close)
	s.cloud.SetQuota(1000)
	return s
}

func node(i int) string { return fmt.Sprintf("worker-%03d", i) }

func (s *scale) run() {
	if err := s.admin.Create(s.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: s.games, Name: "default"}}); err != nil {
		s.Fatal(err)
	}
	for i := range s.nodes {
		s.setNode(node(i), corev1.ConditionTrue, onpremLabels, "")
		for k := range s.servers {
			s.server(node(i), k)
		}
	}
	stop := s.start()
	defer stop()
	s.idle()
	s.watch(new(corev1.NodeList), func(o client.Object) {
		if n := o.(*corev1.Node); tainted(n) {
			s.mark("taint/" + n.Name)
		}
	})
	withdrawn := map[string]map[string]bool{} // by node and name
	s.watch(new(gameserver.GameServerList), func(o client.Object) {
		g := o.(*gameserver.GameServer)
		node := g.Status.NodeName
		if g.Status.State != agones.Shutdown {
			return
		}
		if withdrawn[node] == nil {
			withdrawn[node] = map[string]bool{}
		}
		withdrawn[node][g.Name] = true
		if len(withdrawn[node]) == s.servers-1 { // one is in use
			s.mark("withdraw/" + node)
		}
	})
	for from := 0; from < s.nodes; from += s.batch {
		s.fail(from)
	}
	s.report()
}

// fail lets a batch of nodes fail, waits for the taints, and lets them return.
func (s *scale) fail(from int) {
	for i := from; i < from+s.batch; i++ {
		s.mark("fail/" + node(i))
		s.setNode(node(i), corev1.ConditionFalse, nil, "")
	}
	for i := from; i < from+s.batch; i++ {
		for _, kind := range []string{"withdraw", "insert", "joined", "taint"} {
			s.await(kind + "/" + node(i))
		}
		s.setNode(node(i), corev1.ConditionTrue, nil, "")
	}
	s.until("the failovers are over", func() bool {
		var all v1.NodeFailoverList
		if err := s.admin.List(s.Context(), &all); err != nil {
			s.Fatal(err)
		}
		return !slices.ContainsFunc(all.Items, func(f v1.NodeFailover) bool { return f.Status.Phase != v1.Completed })
	})
}

func (s *scale) report() {
	delay := func(to, from string, grace time.Duration) []float64 {
		var ms []float64
		for i := range s.nodes {
			d := s.seen[to+"/"+node(i)].Sub(s.seen[from+"/"+node(i)]) - grace
			ms = append(ms, float64(d.Microseconds())/1000)
		}
		return ms
	}
	s.mu.Lock()
	withdrawn, inserted, taint := delay("withdraw", "fail", s.grace), delay("insert", "fail", s.grace), delay("taint", "joined", 0)
	s.mu.Unlock()
	all := make([]float64, s.nodes)
	for i := range all {
		all[i] = inserted[i] + taint[i]
	}
	for name, ms := range map[string][]float64{"withdraw": withdrawn, "insert": inserted, "taint": taint, "all": all} {
		slices.Sort(ms)
		s.measured(ms[len(ms)/2], name+"-p50-ms")
		s.measured(ms[max(len(ms)*99/100-1, 0)], name+"-p99-ms")
		s.measured(ms[len(ms)-1], name+"-max-ms")
	}
	s.measured(s.memory("VmHWM"), "peak-MB")
	if n := len(s.cloud.VMs()); n != 0 {
		s.Errorf("%d VMs are left", n)
	}
}

// idle measures the program while nothing happens but heartbeats.
func (s *scale) idle() {
	ctx, cancel := context.WithCancel(s.Context())
	var beats sync.WaitGroup
	defer beats.Wait()
	defer cancel()
	beats.Go(func() { // each node's status every 10 s
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-time.After(10 * time.Second / time.Duration(s.nodes)):
				s.beat(node(i % s.nodes))
			}
		}
	})
	before := s.proxy.counts()
	cpu := s.cpu()
	<-time.After(s.size.idle)
	s.measured(100*(s.cpu()-cpu).Seconds()/s.size.idle.Seconds(), "idle-cpu-%")
	s.measured(s.memory("VmRSS"), "idle-MB")
	after := s.proxy.counts()
	s.measured(float64(after["other"]-before["other"]+after["list"]-before["list"])/s.size.idle.Minutes(), "idle-requests/min")
	s.measured(float64(after["list"]-before["list"]), "idle-lists")
}

// start builds and starts the program, and waits until it leads.
func (s *scale) start() (stop func()) {
	dir := s.TempDir()
	if out, err := exec.Command("go", "build", "-o", dir+"/failover", "torikumi/failover").CombinedOutput(); err != nil {
		s.Fatalf("build: %v\n%s", err, out)
	}
	cmd := exec.Command(dir+"/failover",
		"--kubeconfig="+s.kubeconfig(dir), "--http-listen=127.0.0.1:0", "--gce-endpoint="+s.cloud.URL, "--gce-project="+s.cloud.Project(),
		"--gce-zones="+s.cloud.Zones()[0], "--vm-image=projects/"+s.cloud.Project()+"/global/images/node",
		"--grace="+s.grace.String(), "--stability=1s", "--drain-settle=1s", "--max-failovers="+strconv.Itoa(s.batch), "--max-vms="+strconv.Itoa(s.batch+1))
	cmd.Env = append(os.Environ(), "GOMEMLIMIT=48MiB", "GOOGLE_APPLICATION_CREDENTIALS="+s.credentials(dir))
	log, err := os.Create(dir + "/log")
	if err != nil {
		s.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	s.pid = cmd.Process.Pid
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		log.Close()
		if s.Failed() {
			text, _ := os.ReadFile(dir + "/log")
			s.Logf("%s", text)
		}
	})
	s.Cleanup(stop)
	s.until("the program leads", func() bool {
		text, _ := os.ReadFile(dir + "/log")
		return strings.Contains(string(text), "API server is in reach")
	})
	return stop
}

// kubeconfig leads the program through the proxy, which has its rights.
func (s *scale) kubeconfig(dir string) string {
	file := filepath.Join(dir, "kubeconfig")
	text := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","clusters":[{"name":"c","cluster":{"server":%q}}],"contexts":[{"name":"c","context":{"cluster":"c"}}],"current-context":"c"}`, s.proxy.URL)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		s.Fatal(err)
	}
	return file
}

// credentials are those of a service account that a server of the test knows.
func (s *scale) credentials(dir string) string {
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token":"any","token_type":"Bearer","expires_in":3600}`)
	}))
	s.Cleanup(tokens.Close)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		s.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		s.Fatal(err)
	}
	text, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": s.cloud.Project(), "private_key_id": "1", "client_id": "1",
		"private_key":  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"client_email": "failover@" + s.cloud.Project() + ".iam.gserviceaccount.com", "token_uri": tokens.URL,
	})
	if err != nil {
		s.Fatal(err)
	}
	file := filepath.Join(dir, "credentials")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		s.Fatal(err)
	}
	return file
}

// server makes one game server and its pod; one in ten is in use.
func (s *scale) server(node string, k int) {
	g := &gameserver.GameServer{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.games, Name: fmt.Sprintf("%s-%d", node, k), Labels: map[string]string{contract.AllocatableLabel: "true"}},
		Status:     gameserver.GameServerStatus{State: "Ready", NodeName: node},
	}
	if k == 0 {
		g.Status.State = "Allocated"
	}
	no := false
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.games, Name: g.Name, Labels: map[string]string{agones.RoleLabel: agones.RoleGameServer}},
		Spec: corev1.PodSpec{NodeName: node, AutomountServiceAccountToken: &no, Containers: []corev1.Container{{
			Name: "game", Image: "game", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("300m")}},
		}}},
	}
	for _, o := range []client.Object{g, pod} {
		if err := s.admin.Create(s.Context(), o); err != nil {
			s.Fatal(err)
		}
	}
}

func (s *scale) setNode(name string, ready corev1.ConditionStatus, labels map[string]string, providerID string) {
	if err := writeNode(s.Context(), s.admin, name, ready, labels, providerID); err != nil {
		s.Errorf("node %s: %v", name, err)
	}
}

// beat is what a kubelet reports when nothing has changed.
func (s *scale) beat(name string) {
	patch := fmt.Appendf(nil, `{"status":{"conditions":[{"type":"Ready","lastHeartbeatTime":%q}]}}`, time.Now().UTC().Format(time.RFC3339))
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := s.admin.Status().Patch(s.Context(), n, client.RawPatch("application/strategic-merge-patch+json", patch)); err != nil && s.Context().Err() == nil {
		s.Errorf("beat of %s: %v", name, err)
	}
}

// watch calls see for each change from now on.
func (s *scale) watch(list client.ObjectList, see func(client.Object)) {
	w, err := s.admin.Watch(s.Context(), list)
	if err != nil {
		s.Fatal(err)
	}
	done := make(chan struct{})
	s.Cleanup(func() { w.Stop(); <-done })
	go func() {
		defer close(done)
		for e := range w.ResultChan() {
			o, ok := e.Object.(client.Object)
			if !ok {
				if s.Context().Err() != nil {
					return
				}
				s.Errorf("a watch has ended: %v", e.Object)
				return
			}
			see(o)
		}
	}()
}

// mark notes when something was seen for the first time.
func (s *scale) mark(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.seen[what]; !ok {
		s.seen[what] = time.Now()
	}
	select {
	case s.moved <- struct{}{}:
	default:
	}
}

func (s *scale) await(what string) {
	limit := time.After(patience)
	for {
		s.mu.Lock()
		_, ok := s.seen[what]
		s.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-s.moved:
		case <-limit:
			s.Fatalf("nothing of %s", what)
		}
	}
}

func (s *scale) until(what string, condition func() bool) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-limit.C:
			s.Fatalf("not in time: %s", what)
		}
	}
}

// cpu is what the program has used so far.
func (s *scale) cpu() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.pid))
	if err != nil {
		s.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	ticks := 0
	for _, f := range fields[11:13] { // utime, stime; 100 ticks a second
		n, err := strconv.Atoi(f)
		if err != nil {
			s.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// memory is a line of the program's status, in MB.
func (s *scale) memory(line string) float64 {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", s.pid))
	if err != nil {
		s.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); fields[0] == line+":" {
			kb, err := strconv.ParseFloat(fields[1], 64)
			if err != nil {
				s.Fatal(err)
			}
			return kb / 1000
		}
	}
	s.Fatalf("no %s", line)
	return 0
}

// counting is a way to the API server that counts requests by kind.
type counting struct {
	*httptest.Server
	mu sync.Mutex
	n  map[string]int
}

func newCounting(b testing.TB, kube *rest.Config) *counting {
	target, err := url.Parse(kube.Host)
	if err != nil {
		b.Fatal(err)
	}
	transport, err := rest.TransportFor(kube)
	if err != nil {
		b.Fatal(err)
	}
	c := &counting{n: map[string]int{}}
	p := &httputil.ReverseProxy{
		Rewrite:   func(q *httputil.ProxyRequest) { q.SetURL(target) },
		Transport: transport, FlushInterval: -1,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		c.mu.Lock()
		c.n[requestKind(q)]++
		c.mu.Unlock()
		p.ServeHTTP(w, q)
	}))
	b.Cleanup(func() {
		c.Server.CloseClientConnections()
		c.Server.Close()
	})
	return c
}

// plural are the kinds whose collections the program may list.
var plural = []string{"nodes", "gameservers", "nodefailovers", "pods", "secrets", "configmaps"}

func requestKind(q *http.Request) string {
	last := q.URL.Path[strings.LastIndexByte(q.URL.Path, '/')+1:]
	switch {
	case q.URL.Query().Get("watch") != "":
		return "watch"
	case q.Method == http.MethodGet && slices.Contains(plural, last):
		return "list"
	default:
		return "other"
	}
}

func (c *counting) counts() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return map[string]int{"watch": c.n["watch"], "list": c.n["list"], "other": c.n["other"]}
}
