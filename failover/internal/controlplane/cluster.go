package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

const (
	// patience is for how long a part may take to be ready. Alone it takes
	// seconds; tests of other packages may run on the same cores.
	patience = 2 * time.Minute
	// poll is how often a condition is looked at.
	poll = 50 * time.Millisecond
)

// Cluster is a running control plane. Its methods may be used concurrently;
// those that take a testing.TB fail that test, from its own goroutine.
type Cluster struct {
	// Config is that of an administrator (group system:masters, past RBAC),
	// without a limit on the rate. Copy it before changing it.
	Config *rest.Config
	// Client uses Config.
	Client kubernetes.Interface
	// Kubeconfig is Config as a file's content.
	Kubeconfig []byte
	// URL is the API server's, the same after a restart.
	URL string
	// CA is the certificate (PEM) that signed the API server's and all nodes'.
	CA []byte
	// CAHash is the hash of its key, "sha256:…", that kubeadm join is told.
	CAHash string

	options Options
	bin     string
	ca      *authority
	ports   []*port
	etcdURL string

	mu    sync.Mutex // guards what follows
	group group
	api   *process
}

// Start starts a control plane of the test's own and waits until it is ready.
// It is stopped when the test ends, and its logs are shown if the test failed.
func Start(t testing.TB, options Options) *Cluster {
	t.Helper()
	began := time.Now()
	c, err := start(t.Context(), options)
	if err != nil {
		t.Fatalf("start the control plane: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(c.logs(nil))
		}
		if err := c.stop(); err != nil {
			t.Errorf("stop the control plane: %v", err)
		}
	})
	t.Logf("the control plane was ready after %s", time.Since(began).Round(10*time.Millisecond))
	return c
}

func start(ctx context.Context, options Options) (_ *Cluster, err error) {
	bin, err := Find()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c := &Cluster{options: options, bin: bin}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("%w\n%s", err, c.logs(nil)), c.stop())
		}
	}()
	if c.group.dir, err = os.MkdirTemp("", "controlplane-"); err != nil {
		return nil, err
	}
	if err := c.prepare(); err != nil {
		return nil, err
	}
	if err := c.startEtcd(ctx); err != nil {
		return nil, err
	}
	if err := c.startAPIServer(ctx); err != nil {
		return nil, err
	}
	if options.ControllerManager {
		return c, c.startControllerManager(ctx)
	}
	return c, nil
}

// prepare takes the ports and writes what the programs read.
func (c *Cluster) prepare() error {
	for range 3 { // etcd, the API server, the controller manager
		p, err := reservePort()
		if err != nil {
			return err
		}
		c.ports = append(c.ports, p)
	}
	c.etcdURL = c.ports[0].url("http")
	c.URL = c.ports[1].url("https")

	var err error
	if c.ca, err = newAuthority(); err != nil {
		return err
	}
	c.CA, c.CAHash = c.ca.pair.cert, c.ca.hash()
	serving, err := c.ca.server()
	if err != nil {
		return err
	}
	tokens, err := c.ca.client("service-accounts") // for its key
	if err != nil {
		return err
	}
	admin, err := c.ca.client("admin", "system:masters")
	if err != nil {
		return err
	}
	manager, err := c.ca.client("system:kube-controller-manager")
	if err != nil {
		return err
	}
	c.Config = &rest.Config{
		Host:            c.URL,
		TLSClientConfig: rest.TLSClientConfig{CAData: c.CA, CertData: admin.cert, KeyData: admin.key},
		QPS:             -1,
		WarningHandler:  rest.NoWarnings{},
	}
	if c.Client, err = kubernetes.NewForConfig(c.Config); err != nil {
		return err
	}
	if c.Kubeconfig, err = c.kubeconfig("admin", admin); err != nil {
		return err
	}
	managerConfig, err := c.kubeconfig("controller-manager", manager)
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		"ca.crt": c.CA, "ca.key": c.ca.pair.key,
		"server.crt": serving.cert, "server.key": serving.key,
		"sa.key":                  tokens.key,
		"controller-manager.conf": managerConfig,
	} {
		if err := os.WriteFile(c.file(name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) file(name string) string { return filepath.Join(c.group.dir, name) }

// kubeconfig is the file of a user that authenticates by a certificate.
func (c *Cluster) kubeconfig(user string, pair keyPair) ([]byte, error) {
	const cluster = "test"
	config := clientcmdapi.NewConfig()
	config.Clusters[cluster] = &clientcmdapi.Cluster{Server: c.URL, CertificateAuthorityData: c.CA}
	config.AuthInfos[user] = &clientcmdapi.AuthInfo{ClientCertificateData: pair.cert, ClientKeyData: pair.key}
	config.Contexts[user] = &clientcmdapi.Context{Cluster: cluster, AuthInfo: user}
	config.CurrentContext = user
	return clientcmd.Write(*config)
}

func (c *Cluster) startEtcd(ctx context.Context) error {
	etcd, err := c.group.start("etcd", filepath.Join(c.bin, "etcd"),
		"--data-dir="+c.file("etcd"),
		"--listen-client-urls="+c.etcdURL,
		"--advertise-client-urls="+c.etcdURL,
		"--listen-peer-urls=http://127.0.0.1:0",
		"--unsafe-no-fsync",
		"--log-level=warn",
	)
	if err != nil {
		return err
	}
	return etcd.answers(ctx, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, c.etcdURL+"/health")
}

func (c *Cluster) startAPIServer(ctx context.Context) error {
	args := []string{
		"--etcd-servers=" + c.etcdURL,
		"--bind-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(c.ports[1].number),
		"--advertise-address=127.0.0.1",
		// The service "kubernetes" can't have a loopback address.
		"--endpoint-reconciler-type=none",
		"--service-cluster-ip-range=10.96.0.0/16",
		"--client-ca-file=" + c.file("ca.crt"),
		"--tls-cert-file=" + c.file("server.crt"),
		"--tls-private-key-file=" + c.file("server.key"),
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + c.file("sa.key"),
		"--service-account-signing-key-file=" + c.file("sa.key"),
		"--authorization-mode=Node,RBAC",
		"--enable-bootstrap-token-auth=true",
		"--enable-admission-plugins=NodeRestriction",
		"--allow-privileged=true",
		"--profiling=false",
	}
	api, err := c.group.start("kube-apiserver", filepath.Join(c.bin, "kube-apiserver"), append(args, c.options.APIServerArgs...)...)
	if err != nil {
		return err
	}
	c.api = api
	// A client of its own: one that was used before a restart may try a
	// connection that the old server has closed.
	client, err := c.httpClient()
	if err != nil {
		return err
	}
	return api.answers(ctx, client, c.URL+"/readyz")
}

func (c *Cluster) startControllerManager(ctx context.Context) error {
	config := c.file("controller-manager.conf")
	port := c.ports[2]
	args := []string{
		"--kubeconfig=" + config,
		"--authentication-kubeconfig=" + config,
		"--authorization-kubeconfig=" + config,
		"--bind-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(port.number),
		"--tls-cert-file=" + c.file("server.crt"),
		"--tls-private-key-file=" + c.file("server.key"),
		"--cluster-signing-cert-file=" + c.file("ca.crt"),
		"--cluster-signing-key-file=" + c.file("ca.key"),
		"--root-ca-file=" + c.file("ca.crt"),
		"--service-account-private-key-file=" + c.file("sa.key"),
		"--use-service-account-credentials=true",
		"--controllers=*,bootstrapsigner,tokencleaner",
		"--service-cluster-ip-range=10.96.0.0/16",
		"--leader-elect=false",
		"--kube-api-qps=200",
		"--kube-api-burst=400",
		"--profiling=false",
	}
	args = append(args, c.options.monitorArgs()...)
	manager, err := c.group.start("kube-controller-manager", filepath.Join(c.bin, "kube-controller-manager"),
		append(args, c.options.ControllerManagerArgs...)...)
	if err != nil {
		return err
	}
	client, err := c.httpClient()
	if err != nil {
		return err
	}
	if err := manager.answers(ctx, client, port.url("https")+"/healthz"); err != nil {
		return err
	}
	// It answers before its controllers run; this is their first visible work.
	return manager.until(ctx, func() error {
		_, err := c.Client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

// httpClient authenticates as Config does, and keeps no connection.
func (c *Cluster) httpClient() (*http.Client, error) {
	tls, err := rest.TLSConfigFor(c.Config)
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: tls, DisableKeepAlives: true}}, nil
}

// answers waits until a URL does with 200.
func (p *process) answers(ctx context.Context, client *http.Client, url string) error {
	return p.until(ctx, func() error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", url, response.Status)
		}
		return nil
	})
}

// until polls a condition, and gives up when the process has ended.
func (p *process) until(ctx context.Context, condition func() error) error {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		err := condition()
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s has ended: %w", p.name, errors.Join(p.err, err))
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w", p.name, err)
		case <-tick.C:
		}
	}
}

// StopAPIServer ends kube-apiserver. It is given 2 s to end in order and is then
// killed, since open watches alone keep it for longer. etcd and the controller
// manager go on. Stopping what is stopped is nothing.
func (c *Cluster) StopAPIServer(t testing.TB) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.api.terminate(2 * time.Second); err != nil {
		t.Fatal(err)
	}
}

// StartAPIServer starts kube-apiserver again, with the same data at the same
// address, and waits until it is ready. Starting what runs is nothing.
func (c *Cluster) StartAPIServer(t testing.TB) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.api.done:
	default:
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.startAPIServer(ctx); err != nil {
		t.Fatalf("start the API server again: %v", err)
	}
}

func (c *Cluster) stop() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.group.stop()
	for _, p := range c.ports {
		p.close()
	}
	return err
}

func (c *Cluster) logs(from map[string]int64) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.group.logs(from)
}
