package controlplane

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/certificate/csr"
)

// ErrCAHash says that the cluster is not the one that the hash means.
var ErrCAHash = errors.New("the cluster's CA has another hash")

// Joining is what a machine knows that is to become a node: what kubeadm join
// and the kubelet are told.
type Joining struct {
	// Server is the API server's URL.
	Server string
	// Token is a bootstrap token, "id.secret".
	Token string
	// CAHash is the hash of the CA's public key, "sha256:…".
	CAHash string

	// Name is the node's.
	Name string
	// Labels, Taints and ProviderID are registered with it. NodeRestriction
	// refuses labels that a kubelet must not set itself.
	Labels     map[string]string
	Taints     []corev1.Taint
	ProviderID string
	// Address is its InternalIP, "" for none.
	Address string
	// External is its ExternalIP, as a cloud-controller-manager sets it.
	External string
	// Capacity is its capacity and what can be allocated.
	Capacity corev1.ResourceList
}

// Join does what kubeadm join and a kubelet do until the node is Ready: it
// takes the CA from the ConfigMap cluster-info, if the token has signed that
// and the hash is right; it gets a certificate with the token; with that it
// registers its Node and Lease. It waits for cluster-info to be signed, and for
// the certificate, until ctx ends.
func Join(ctx context.Context, j Joining) (*Node, error) {
	id, secret, ok := strings.Cut(j.Token, ".")
	if !ok {
		return nil, errors.New("the token is not id.secret")
	}
	config, err := discover(ctx, j.Server, id, secret)
	if err != nil {
		return nil, fmt.Errorf("discover the cluster: %w", err)
	}
	if err := checkCA(config.CAData, j.CAHash); err != nil {
		return nil, err
	}
	config.BearerToken = j.Token
	if config, err = bootstrap(ctx, config, j.Name); err != nil {
		return nil, fmt.Errorf("get a certificate: %w", err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	n := &Node{Name: j.Name, Config: config, client: client}
	return n, n.register(ctx, j)
}

// discover reads the API server's address and CA from cluster-info. Nobody has
// vouched for the server yet; that who wrote it knows the token shows by the
// signature.
func discover(ctx context.Context, server, id, secret string) (*rest.Config, error) {
	anonymous, err := kubernetes.NewForConfig(&rest.Config{Host: server, TLSClientConfig: rest.TLSClientConfig{Insecure: true}})
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(2 * poll)
	defer tick.Stop()
	for {
		var kubeconfig string
		info, err := anonymous.CoreV1().ConfigMaps(metav1.NamespacePublic).Get(ctx, "cluster-info", metav1.GetOptions{})
		if err == nil {
			kubeconfig = info.Data["kubeconfig"]
			err = verify(info.Data["jws-kubeconfig-"+id], kubeconfig, id, secret)
		}
		if err == nil {
			return serverOf(kubeconfig)
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(err, ctx.Err())
		case <-tick.C:
		}
	}
}

// serverOf makes the one cluster of a file a configuration. It has no user.
func serverOf(kubeconfig string) (*rest.Config, error) {
	config, err := clientcmd.Load([]byte(kubeconfig))
	if err != nil {
		return nil, err
	}
	for _, cluster := range config.Clusters {
		return &rest.Config{
			Host:            cluster.Server,
			TLSClientConfig: rest.TLSClientConfig{CAData: cluster.CertificateAuthorityData},
		}, nil
	}
	return nil, errors.New("cluster-info names no cluster")
}

// verify checks a JWS without content (RFC 7515, appendix F), HMAC-SHA256 with
// the token's secret.
func verify(jws, content, id, secret string) error {
	if jws == "" {
		return fmt.Errorf("cluster-info is not signed for token %q", id)
	}
	parts := strings.Split(jws, ".")
	if len(parts) != 3 || parts[1] != "" {
		return errors.New("the signature of cluster-info is no detached JWS")
	}
	head, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil {
		return fmt.Errorf("the signature of cluster-info: %w", err)
	}
	var header struct{ Alg, Kid string }
	if err := json.Unmarshal(head, &header); err != nil {
		return fmt.Errorf("the signature of cluster-info: %w", err)
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(content))))
	sum, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || header.Alg != "HS256" || header.Kid != id || !hmac.Equal(sum, mac.Sum(nil)) {
		return errors.New("the signature of cluster-info is wrong")
	}
	return nil
}

func checkCA(caPEM []byte, hash string) error {
	block, _ := pem.Decode(caPEM)
	if block == nil {
		return errors.New("cluster-info has no CA")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return fmt.Errorf("the CA of cluster-info: %w", err)
	}
	if publicKeyHash(cert) != hash {
		return ErrCAHash
	}
	return nil
}

// until repeats a call while its error may pass, for as long as a part of a cluster
// may take.
func until(ctx context.Context, passes func(error) bool, call func() error) error {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	tick := time.NewTicker(2 * poll)
	defer tick.Stop()
	for {
		err := call()
		if err == nil || !passes(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-limit.C:
			return err
		case <-tick.C:
		}
	}
}

// bootstrap gets the node's certificate by a token's rights.
func bootstrap(ctx context.Context, config *rest.Config, name string) (*rest.Config, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "system:node:" + name, Organization: []string{"system:nodes"}},
	}, key)
	if err != nil {
		return nil, err
	}
	usages := []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth}
	var request string
	var uid types.UID
	// The API server has tokens and roles in a cache of its own, which may not have
	// what cluster-info has been signed for.
	err = until(ctx, func(err error) bool { return apierrors.IsUnauthorized(err) || apierrors.IsForbidden(err) }, func() (err error) {
		request, uid, err = csr.RequestCertificateWithContext(ctx, client,
			pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), "",
			certificatesv1.KubeAPIServerClientKubeletSignerName, nil, usages, key)
		return err
	})
	if err != nil {
		return nil, err
	}
	cert, err := csr.WaitForCertificate(ctx, client, request, uid)
	if err != nil {
		return nil, err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	return &rest.Config{
		Host:            config.Host,
		TLSClientConfig: rest.TLSClientConfig{CAData: config.CAData, CertData: cert, KeyData: keyPEM},
	}, nil
}
