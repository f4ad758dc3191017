package cluster

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"torikumi/test/cluster/internal/machine"
)

// object is a piece of a configuration file.
type object = map[string]any

func writeJSON(file string, content object) error {
	text, err := json.MarshalIndent(content, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}

// writeYAML writes documents. JSON is YAML.
func writeYAML(file string, documents ...object) error {
	var all bytes.Buffer
	for _, d := range documents {
		content, err := json.MarshalIndent(d, "", "  ")
		if err != nil {
			return err
		}
		all.WriteString("---\n")
		all.Write(append(content, '\n'))
	}
	return os.WriteFile(file, all.Bytes(), 0o600)
}

// kubeadmConfig is what `kubeadm init` would be given. The kubelet's part is
// read by nodes when they join.
func (c *Cluster) kubeadmConfig(token string) []object {
	s := c.state
	return []object{{
		"apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "InitConfiguration",
		"bootstrapTokens":  []object{{"token": token, "ttl": "1h"}},
		"localAPIEndpoint": object{"advertiseAddress": host(s.NodeNet, 1).String(), "bindPort": apiServerPort},
		"nodeRegistration": object{"name": controlPlane, "criSocket": criSocket},
	}, {
		"apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "ClusterConfiguration",
		"clusterName":          s.Name,
		"kubernetesVersion":    s.Version,
		"certificatesDir":      c.path("pki"),
		"controlPlaneEndpoint": s.apiServer(),
		"encryptionAlgorithm":  "ECDSA-P256",
		"networking":           object{"podSubnet": s.PodNet.String(), "serviceSubnet": serviceNet},
	}, {
		"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
		"cgroupDriver": "cgroupfs",
		"failCgroupV1": false,
		"failSwapOn":   false,
		"resolvConf":   "/etc/resolv.conf",
		// Where a node that joins puts it, and not where it is on the host.
		"authentication": object{"x509": object{"clientCAFile": "/etc/kubernetes/pki/ca.crt"}},
		// All nodes have the disk of this machine, and there may be little left on it.
		"evictionHard":                object{"memory.available": "100Mi", "nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%"},
		"imageGCHighThresholdPercent": 100,
	}}
}

func newToken() string {
	b := make([]byte, 11)
	_, _ = rand.Read(b) // never fails
	text := hex.EncodeToString(b)
	return text[:6] + "." + text[6:]
}

// nodeUsers are those of the programs on nodes, by their kubeconfigs.
var nodeUsers = map[string]string{
	"kube-proxy.conf":     "system:kube-proxy",
	"network-policy.conf": "torikumi:network-policy",
}

// makePKI lets kubeadm make certificates and kubeconfigs.
func (c *Cluster) makePKI(ctx context.Context, token string) error {
	conf := c.path("conf")
	if err := errors.Join(os.MkdirAll(conf, 0o700), os.MkdirAll(c.path("pki"), 0o700)); err != nil {
		return err
	}
	config := filepath.Join(conf, "kubeadm.yaml")
	if err := writeYAML(config, c.kubeadmConfig(token)...); err != nil {
		return err
	}
	if _, err := c.kubeadm(ctx, "init", "phase", "certs", "all", "--config", config); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, user := range []string{"super-admin", "controller-manager", "scheduler"} {
		g.Go(func() error {
			_, err := c.kubeadm(ctx, "init", "phase", "kubeconfig", user, "--config", config, "--kubeconfig-dir", conf)
			return err
		})
	}
	for file, user := range nodeUsers {
		g.Go(func() error {
			content, err := c.kubeadm(ctx, "kubeconfig", "user", "--config", config, "--client-name", user)
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(conf, file), []byte(content), 0o600)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return link(filepath.Join(conf, "super-admin.conf"), c.Kubeconfig)
}

func (c *Cluster) kubeadm(ctx context.Context, args ...string) (string, error) {
	return run(ctx, c.path("bin", "kubeadm"), args...)
}

// caHash is what kubeadm calls the discovery token CA certificate hash.
func (c *Cluster) caHash() (string, error) {
	content, err := os.ReadFile(c.path("pki", "ca.crt"))
	if err != nil {
		return "", err
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return "", fmt.Errorf("%s is not PEM", c.path("pki", "ca.crt"))
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256(cert.RawSubjectPublicKeyInfo)), nil
}

// startControlPlane starts etcd, the API server, the controller manager, the
// scheduler and the registry on the host's network, and waits until they work.
func (c *Cluster) startControlPlane(ctx context.Context) error {
	spec := machine.Spec{
		Mounts:   []machine.Mount{{Type: "proc", Target: "/proc", Required: true}},
		Services: c.controlPlaneServices(),
	}
	if err := errors.Join(os.MkdirAll(c.path("etcd"), 0o700), os.MkdirAll(c.path("registry"), 0o700)); err != nil {
		return err
	}
	if err := c.startMachine(ctx, controlPlane, spec, 0, func(int) error { return nil }); err != nil {
		return err
	}
	if err := c.connect(); err != nil {
		return err
	}
	err := wait(ctx, 100*time.Millisecond, func() error {
		if _, err := c.machine(controlPlane); err != nil {
			return err
		}
		_, err := c.client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		return errors.Join(err, c.registryReady(ctx))
	})
	if err != nil {
		return fmt.Errorf("the API server or the registry is not ready: %w\n%s", err, c.logs(controlPlane))
	}
	return nil
}

// registryReady asks the registry whether it is one.
func (c *Cluster) registryReady(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.Registry()+"/v2/", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the registry answers %s", answer.Status)
	}
	return nil
}

// bootstrap makes what nodes need to join.
func (c *Cluster) bootstrap(ctx context.Context) error {
	config := c.path("conf", "kubeadm.yaml")
	for _, phase := range [][]string{{"upload-config", "kubeadm"}, {"upload-config", "kubelet"}, {"bootstrap-token", "--skip-token-print"}} {
		args := append(append([]string{"init", "phase"}, phase...), "--config", config, "--kubeconfig", c.Kubeconfig)
		if _, err := c.kubeadm(ctx, args...); err != nil {
			return err
		}
	}
	// The controllers' first visible work.
	err := wait(ctx, 100*time.Millisecond, func() error {
		_, err := c.client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
	if err != nil {
		return fmt.Errorf("the controller manager is not ready: %w\n%s", err, c.logs(controlPlane))
	}
	return nil
}

func (c *Cluster) controlPlaneServices() []machine.Service {
	s := c.state
	address := host(s.NodeNet, 1).String()
	// Each cluster has a loopback address of its own.
	loopback := fmt.Sprintf("127.77.%d.1", s.Index)
	etcd := "https://" + address + ":2379"
	pki := func(name string) string { return c.path("pki", name) }
	conf := func(name string) string { return c.path("conf", name+".conf") }
	service := func(name string, args ...string) machine.Service {
		return machine.Service{Name: name, Args: append([]string{c.path("bin", name)}, args...), Env: []string{"PATH=" + systemPath}}
	}
	return []machine.Service{
		service("etcd", "--name="+controlPlane, "--data-dir="+c.path("etcd"), "--unsafe-no-fsync", "--log-level=warn",
			"--listen-client-urls="+etcd, "--advertise-client-urls="+etcd, "--client-cert-auth",
			"--cert-file="+pki("etcd/server.crt"), "--key-file="+pki("etcd/server.key"), "--trusted-ca-file="+pki("etcd/ca.crt"),
			"--listen-peer-urls=https://"+loopback+":2380", "--initial-advertise-peer-urls=https://"+loopback+":2380",
			"--initial-cluster="+controlPlane+"=https://"+loopback+":2380", "--peer-client-cert-auth",
			"--peer-cert-file="+pki("etcd/peer.crt"), "--peer-key-file="+pki("etcd/peer.key"), "--peer-trusted-ca-file="+pki("etcd/ca.crt")),
		service("kube-apiserver", "--bind-address="+address, "--advertise-address="+address, fmt.Sprintf("--secure-port=%d", apiServerPort),
			"--etcd-servers="+etcd, "--etcd-cafile="+pki("etcd/ca.crt"),
			"--etcd-certfile="+pki("apiserver-etcd-client.crt"), "--etcd-keyfile="+pki("apiserver-etcd-client.key"),
			"--service-cluster-ip-range="+serviceNet, "--client-ca-file="+pki("ca.crt"),
			"--tls-cert-file="+pki("apiserver.crt"), "--tls-private-key-file="+pki("apiserver.key"),
			"--kubelet-client-certificate="+pki("apiserver-kubelet-client.crt"), "--kubelet-client-key="+pki("apiserver-kubelet-client.key"),
			"--kubelet-preferred-address-types=InternalIP",
			"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
			"--service-account-key-file="+pki("sa.pub"), "--service-account-signing-key-file="+pki("sa.key"),
			"--proxy-client-cert-file="+pki("front-proxy-client.crt"), "--proxy-client-key-file="+pki("front-proxy-client.key"),
			"--requestheader-client-ca-file="+pki("front-proxy-ca.crt"), "--requestheader-allowed-names=front-proxy-client",
			"--requestheader-extra-headers-prefix=X-Remote-Extra-", "--requestheader-group-headers=X-Remote-Group",
			"--requestheader-username-headers=X-Remote-User",
			// Aggregated APIs and webhooks run in pods, which the host has routes to.
			"--enable-aggregator-routing=true",
			"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
			"--enable-bootstrap-token-auth=true", "--allow-privileged=true", "--profiling=false"),
		service("kube-controller-manager", "--bind-address="+loopback, "--leader-elect=false", "--profiling=false",
			"--kubeconfig="+conf("controller-manager"), "--authentication-kubeconfig="+conf("controller-manager"), "--authorization-kubeconfig="+conf("controller-manager"),
			"--allocate-node-cidrs=true", "--cluster-cidr="+s.PodNet.String(), "--service-cluster-ip-range="+serviceNet,
			"--cluster-signing-cert-file="+pki("ca.crt"), "--cluster-signing-key-file="+pki("ca.key"), "--root-ca-file="+pki("ca.crt"),
			"--service-account-private-key-file="+pki("sa.key"), "--use-service-account-credentials=true",
			"--controllers=*,bootstrapsigner,tokencleaner",
			// A node that is unplugged is to be NotReady after seconds, not after a minute.
			"--node-monitor-period=2s", "--node-monitor-grace-period=16s"),
		service("kube-scheduler", "--bind-address="+loopback, "--leader-elect=false", "--profiling=false",
			"--kubeconfig="+conf("scheduler"), "--authentication-kubeconfig="+conf("scheduler"), "--authorization-kubeconfig="+conf("scheduler")),
		service("torikumi-registry", s.registry(), s.NodeNet.String(), c.path("registry")),
	}
}

// connect makes the client.
func (c *Cluster) connect() error {
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	if err != nil {
		return err
	}
	config.QPS = -1
	config.Timeout = 10 * time.Second
	config.WarningHandler = rest.NoWarnings{}
	c.client, err = kubernetes.NewForConfig(config)
	return err
}

// logs are the ends of a machine's logs.
func (c *Cluster) logs(name string) string {
	const lines = 15
	var all strings.Builder
	files, _ := filepath.Glob(c.path("machines", name, "log", "*.log"))
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil || len(content) == 0 {
			continue
		}
		last := strings.Split(strings.TrimRight(string(content), "\n"), "\n")
		fmt.Fprintf(&all, "--- %s\n%s\n", file, strings.Join(last[max(0, len(last)-lines):], "\n"))
	}
	return all.String()
}
