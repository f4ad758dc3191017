//go:build unix

package clusterattach_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gameclient "torikumi/gameserver/client"
	"torikumi/gameserver/server"
	"torikumi/local/internal/clusterattach"
	"torikumi/miniagones/kubernetes/attach"
	"torikumi/miniagones/kubernetes/controller"
	"torikumi/miniagones/kubernetes/kubetest"
	"torikumi/pkg/config"
	"torikumi/pkg/contract"
	"torikumi/pkg/eventually"
	"torikumi/pkg/porttest"
	"torikumi/pkg/rpc"
	"torikumi/pkg/service"
	"torikumi/pkg/token"
	"torikumi/pkg/token/tokentest"
	allocationpb "torikumi/proto/agones/allocation"
	torikumiv1 "torikumi/proto/torikumi/v1"

	v1 "torikumi/miniagones/kubernetes/api/v1"
)

// programEnv makes the test binary the program.
const programEnv = "TORIKUMI_ATTACH_TEST"

const manifests = "../../../manifests"

var shared struct {
	once sync.Once
	*kubetest.Cluster
	err error
}

func TestMain(m *testing.M) {
	if program := os.Getenv(programEnv); program != "" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		run := map[string]func(context.Context, service.Process) int{"attach": clusterattach.MainSoon, "server": server.Main}[program]
		code := run(ctx, service.Process{Args: os.Args[1:], Getenv: os.Getenv, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr})
		stop()
		os.Exit(code)
	}
	attach.LogTo(slog.New(slog.DiscardHandler))
	code := m.Run()
	if shared.Cluster != nil {
		if err := shared.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop the cluster:", err)
			code = 1
		}
	}
	os.Exit(code)
}

const issuerName = tokentest.Frontend

// desk is a developer's machine beside a cluster with a Fleet that has no servers.
type desk struct {
	t          *testing.T
	cluster    *kubetest.Cluster
	namespace  string
	kubeconfig string
	allocator  string
	issuer     *tokentest.Issuer

	port, sdk, rest, gate int
}

// newDesk has a namespace of its own, whose developer has the rights of the manifests.
func newDesk(t *testing.T, namespace string) *desk {
	t.Helper()
	d := newIdleDesk(t, namespace)
	d.allocator = d.controller()
	return d
}

// newIdleDesk is beside a cluster in which nothing makes a GameServer Ready.
func newIdleDesk(t *testing.T, namespace string) *desk {
	t.Helper()
	shared.once.Do(func() { shared.Cluster, shared.err = kubetest.Start(context.Background(), manifests) })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	free := func() int { return int(porttest.Hold(t).Port()) }
	d := &desk{t: t, cluster: shared.Cluster, namespace: namespace, port: free(), sdk: free(), rest: free(), gate: free()}
	d.issuer = tokentest.NewIssuer(tokentest.RSA())
	mux := http.NewServeMux()
	mux.Handle(token.JWKSPath, d.issuer)
	keys := httptest.NewServer(mux)
	t.Cleanup(keys.Close)
	d.rights()
	d.kubeconfig = d.userOf("game-developers")
	d.create(d.fleet("arena", keys.URL+token.JWKSPath))
	return d
}

// rights are those of manifests/examples, in the namespace of the test.
func (d *desk) rights() {
	d.t.Helper()
	text, err := os.ReadFile(filepath.Join(manifests, "examples/attach/rbac.yaml"))
	if err != nil {
		d.t.Fatal(err)
	}
	file := filepath.Join(d.t.TempDir(), "rbac.yaml")
	if err := os.WriteFile(file, bytes.ReplaceAll(text, []byte("namespace: games"), []byte("namespace: "+d.namespace)), 0o600); err != nil {
		d.t.Fatal(err)
	}
	if err := d.cluster.Apply(d.t.Context(), file); err != nil {
		d.t.Fatal(err)
	}
}

// userOf writes the kubeconfig of somebody in a group.
func (d *desk) userOf(group string) string {
	d.t.Helper()
	k := clientcmdapi.NewConfig()
	c := d.cluster.Config
	k.Clusters["test"] = &clientcmdapi.Cluster{Server: c.Host, CertificateAuthorityData: c.CAData}
	k.AuthInfos["dev"] = &clientcmdapi.AuthInfo{
		ClientCertificateData: c.CertData, ClientKeyData: c.KeyData, Impersonate: "dev", ImpersonateGroups: []string{group, "system:authenticated"},
	}
	file := filepath.Join(d.t.TempDir(), "kubeconfig")
	d.write(k, file)
	return file
}

func (d *desk) write(k *clientcmdapi.Config, file string) {
	d.t.Helper()
	k.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", AuthInfo: "dev"}
	k.CurrentContext = "test"
	if err := clientcmd.WriteToFile(*k, file); err != nil {
		d.t.Fatal(err)
	}
}

// controller runs miniagones in the cluster, and returns its allocator.
func (d *desk) controller() string {
	d.t.Helper()
	cfg := new(controller.Config)
	err := config.Load("miniagones", "", cfg, []string{
		"--kubeconfig=" + d.cluster.As(d.t, "agones-system", "miniagones"), "--sidecar-image=sdk", "--allocator-insecure",
		"--grpc-listen=127.0.0.1:0", "--http-listen=127.0.0.1:0", "--log-level=ERROR",
	}, func(string) string { return "" }, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	started, ended := make(chan service.Addrs, 1), make(chan error, 1)
	go func() { ended <- controller.Run(ctx, cfg, func(a service.Addrs) { started <- a }) }()
	d.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			d.t.Errorf("miniagones: %v", err)
		}
	})
	select {
	case a := <-started:
		return a.GRPC
	case err := <-ended:
		ended <- nil
		d.t.Fatalf("miniagones: %v", err)
		return ""
	}
}

func (d *desk) create(o client.Object) {
	d.t.Helper()
	if err := d.cluster.Admin.Create(d.t.Context(), o); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) fleet(name, keys string) *v1.Fleet {
	template, err := json.Marshal(corev1.PodTemplateSpec{Spec: corev1.PodSpec{
		Containers: []corev1.Container{{Name: "game", Image: "game"}},
		InitContainers: []corev1.Container{{
			Name: "gate", Image: "gate", Args: []string{"--issuer=" + issuerName}, Env: []corev1.EnvVar{{Name: "GATE_JWKS_URL", Value: keys}},
		}},
	}})
	if err != nil {
		d.t.Fatal(err)
	}
	return &v1.Fleet{
		ObjectMeta: metav1.ObjectMeta{Namespace: d.namespace, Name: name},
		Spec: v1.FleetSpec{Template: v1.GameServerTemplate{
			Metadata: v1.TemplateMetadata{Labels: map[string]string{contract.AllocatableLabel: "true", "game": "raid"}},
			Spec: v1.GameServerSpec{
				Container: "game",
				Ports:     []v1.GameServerPort{{Name: "game", ContainerPort: 7654}},
				Counters:  map[string]v1.CounterStatus{"rounds": {Count: 1, Capacity: 9}},
				Lists:     map[string]v1.ListStatus{"maps": {Capacity: 5, Values: []string{"desert"}}},
				Template:  runtime.RawExtension{Raw: template},
			},
		}},
	}
}

// attach runs the program with settings that are good, and more.
func (d *desk) attach(more ...string) *child {
	d.t.Helper()
	return d.run("attach", append([]string{
		"--kubeconfig=" + d.kubeconfig, "--namespace=" + d.namespace, "--host=127.0.0.1", "--port=" + strconv.Itoa(d.port),
		"--sdk-grpc-port=" + strconv.Itoa(d.sdk), "--sdk-http-port=" + strconv.Itoa(d.rest), "--gate-port=" + strconv.Itoa(d.gate),
	}, more...)...)
}

func (d *desk) run(program string, args ...string) *child {
	d.t.Helper()
	c := &child{t: d.t, out: new(output), done: make(chan struct{})}
	c.cmd = exec.Command(os.Args[0], args...)
	c.cmd.Env = append(os.Environ(), programEnv+"="+program, "TMPDIR="+d.t.TempDir())
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // as a shell has it
	c.cmd.Stdout, c.cmd.Stderr = c.out, c.out
	if err := c.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	go func() { defer close(c.done); _ = c.cmd.Wait() }()
	d.t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		<-c.done
		if d.t.Failed() {
			d.t.Logf("%s:\n%s", strings.Join(args, " "), c.out)
		}
	})
	return c
}

// servers are those of the namespace.
func (d *desk) servers() []v1.GameServer {
	d.t.Helper()
	list := new(v1.GameServerList)
	if err := d.cluster.Admin.List(context.Background(), list, client.InNamespace(d.namespace)); err != nil {
		d.t.Fatal(err)
	}
	return list.Items
}

func (d *desk) nothingLeft() {
	d.t.Helper()
	eventually.Within(d.t, time.Minute, "no GameServer is left", func() error {
		if n := len(d.servers()); n > 0 {
			return fmt.Errorf("%d are", n)
		}
		return nil
	})
	for _, port := range []int{d.sdk, d.rest, d.gate} {
		eventually.NoError(d.t, "the ports are free", func() error {
			lis, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
			if err != nil {
				return err
			}
			return lis.Close()
		})
	}
}

// allocate gives a server to a match, as a director does: it asks again, as the allocator
// may learn later than others that a server is Ready.
func (d *desk) allocate(match string, players ...string) *allocationpb.AllocationResponse {
	d.t.Helper()
	var resp *allocationpb.AllocationResponse
	eventually.NoError(d.t, "a server is allocated", func() (err error) {
		resp, err = d.tryAllocate(match, players...)
		return err
	})
	return resp
}

// hasNone fails the test if there is a server for a match.
func (d *desk) hasNone(match string) {
	d.t.Helper()
	if resp, err := d.tryAllocate(match, "ann"); err == nil {
		d.t.Fatalf("%s is given to %s", resp.GetGameServerName(), match)
	}
}

// tryAllocate asks once; all other errors than that there is no server fail the test.
func (d *desk) tryAllocate(match string, players ...string) (*allocationpb.AllocationResponse, error) {
	d.t.Helper()
	conn, err := rpc.Dial(d.allocator)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	roster := &torikumiv1.Roster{Queue: "raid", Teams: []*torikumiv1.Team{{Name: "red"}}}
	for _, p := range players {
		roster.Teams[0].Members = append(roster.Teams[0].Members, &torikumiv1.TeamMember{PlayerId: p})
	}
	text, err := contract.EncodeRoster(roster)
	if err != nil {
		d.t.Fatal(err)
	}
	resp, err := allocationpb.NewAllocationServiceClient(conn).Allocate(d.t.Context(), &allocationpb.AllocationRequest{
		Namespace:           d.namespace,
		GameServerSelectors: []*allocationpb.GameServerSelector{{MatchLabels: map[string]string{contract.AllocatableLabel: "true", "game": "raid"}}},
		Metadata:            &allocationpb.MetaPatch{Labels: map[string]string{contract.MatchLabel: match}, Annotations: map[string]string{contract.RosterAnnotation: text}},
	}, grpc.WaitForReady(true))
	if c := status.Code(err); err != nil && c != codes.ResourceExhausted && c != codes.Aborted {
		d.t.Fatal(err)
	}
	return resp, err
}

func (d *desk) token(server, match, player string) string {
	return d.issuer.Forge(time.Now()).Claims(tokentest.Object{"sub": player, "team": "red", "mid": match, "aud": token.Audience(d.namespace, server)})
}

// editor runs the reference server, with nothing but the ports, and with times for a busy machine.
func (d *desk) editor() *child {
	d.t.Helper()
	c := d.run("server", "--log-level=ERROR", "--udp-listen="+net.JoinHostPort("127.0.0.1", strconv.Itoa(d.port)),
		"--sdk-grpc-port="+strconv.Itoa(d.sdk), "--gate=http://127.0.0.1:"+strconv.Itoa(d.gate), "--health-interval=200ms", "--idle-timeout=1m")
	c.says("listening", 1)
	return c
}

// enter lets a player in at the address of an allocation.
func (d *desk) enter(resp *allocationpb.AllocationResponse, raw string) (*playing, error) {
	d.t.Helper()
	c, err := gameclient.Dial(net.JoinHostPort(resp.GetAddress(), strconv.Itoa(int(resp.GetPorts()[0].GetPort()))))
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = c.Close() })
	ctx, cancel := context.WithTimeout(d.t.Context(), time.Minute)
	defer cancel()
	_, err = gameclient.Enter(ctx, c, raw, nil)
	return &playing{d.t, c}, err
}

type playing struct {
	t *testing.T
	*gameclient.Client
}

func (p *playing) leave() {
	p.t.Helper()
	if err := p.Leave(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
}

// child is the program, run.
type child struct {
	t    *testing.T
	cmd  *exec.Cmd
	out  *output
	done chan struct{}
}

func (c *child) says(text string, times int) {
	c.t.Helper()
	eventually.Within(c.t, time.Minute, fmt.Sprintf("%q, %d times", text, times), func() error {
		if n := strings.Count(c.out.String(), text); n < times {
			return fmt.Errorf("%d times", n)
		}
		return nil
	})
}

func (c *child) signal(s syscall.Signal) int {
	c.t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		c.t.Fatal(err)
	}
	return c.ends()
}

func (c *child) ends() int {
	c.t.Helper()
	select {
	case <-c.done:
	case <-time.After(time.Minute):
		c.t.Fatal("the program does not end")
	}
	return c.cmd.ProcessState.ExitCode()
}

// fails waits for an end with exit code 1 and these words.
func (c *child) fails(words ...string) {
	c.t.Helper()
	if code := c.ends(); code != 1 {
		c.t.Errorf("exit code %d, want 1", code)
	}
	for _, w := range words {
		if !strings.Contains(c.out.String(), w) {
			c.t.Errorf("the message lacks %q:\n%s", w, c.out)
		}
	}
}

// output is written to by a process.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func (d *desk) freePort() int { return int(porttest.Hold(d.t).Port()) }

// ready says what a game server says to its SDK.
func (d *desk) ready() {
	d.t.Helper()
	d.request(http.MethodPost, "http://127.0.0.1:"+strconv.Itoa(d.rest)+"/ready", "{}")
}

func (d *desk) gateAnswers() {
	d.t.Helper()
	d.request(http.MethodGet, "http://127.0.0.1:"+strconv.Itoa(d.gate)+"/livez", "")
}

func (d *desk) request(method, url, body string) {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		d.t.Fatalf("%s: %s", url, resp.Status)
	}
}

func (d *desk) patch(gs *v1.GameServer, merge string) {
	d.t.Helper()
	if err := d.cluster.Admin.Patch(d.t.Context(), gs, client.RawPatch(types.MergePatchType, []byte(merge))); err != nil {
		d.t.Fatal(err)
	}
}

// watch brings every version of the GameServers from now on.
func (d *desk) watch() <-chan watch.Event {
	d.t.Helper()
	list := new(v1.GameServerList)
	c, err := client.NewWithWatch(d.cluster.Config, client.Options{Scheme: d.cluster.Admin.Scheme()})
	if err != nil {
		d.t.Fatal(err)
	}
	w, err := c.Watch(d.t.Context(), list, client.InNamespace(d.namespace))
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(w.Stop)
	return w.ResultChan()
}

// stops ends the program as Ctrl-C does.
func (c *child) stops() error {
	c.t.Helper()
	if code := c.signal(syscall.SIGINT); code != 0 {
		return fmt.Errorf("exit code %d", code)
	}
	return nil
}
