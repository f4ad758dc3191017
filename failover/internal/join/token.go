package join

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	"k8s.io/client-go/util/cert"
	"sigs.k8s.io/yaml"
)

// TokenNamespace is where bootstrap tokens are.
const TokenNamespace = "kube-system"

// NewTokenID makes the public half of a token.
func NewTokenID() string { return strings.ToLower(rand.Text()[:6]) }

// NewTokenSecret makes the secret half: 80 random bits.
func NewTokenSecret() string { return strings.ToLower(rand.Text()[:16]) }

// SecretName is the name of a token's Secret.
func SecretName(id string) string { return "bootstrap-token-" + id }

// TokenSecret is the Secret of a bootstrap token with which one node can join, as a
// member of a group (kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens).
func TokenSecret(id, secret, group, node string, expires time.Time) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: SecretName(id), Namespace: TokenNamespace,
			Labels: map[string]string{"app.kubernetes.io/managed-by": "torikumi-failover"},
		},
		Type: corev1.SecretTypeBootstrapToken,
		StringData: map[string]string{
			"description":                    "for the temporary node " + node,
			"token-id":                       id,
			"token-secret":                   secret,
			"expiration":                     expires.UTC().Format(time.RFC3339),
			"usage-bootstrap-authentication": "true",
			"usage-bootstrap-signing":        "true",
			"auth-extra-groups":              group,
		},
	}
}

// ErrNoClusterInfo says that the ConfigMap cluster-info is not what kubeadm makes.
var ErrNoClusterInfo = errors.New("cluster-info is incomplete")

// Cluster is what a node has to know to find and to trust its cluster.
type Cluster struct {
	// Endpoint is the API server's host:port.
	Endpoint string
	// CAHash is "sha256:…" of the public key of the CA, as kubeadm wants it.
	CAHash string
}

// ReadClusterInfo reads the ConfigMap cluster-info of kube-public.
func ReadClusterInfo(cm *corev1.ConfigMap) (Cluster, error) {
	var config clientcmdv1.Config
	if err := yaml.Unmarshal([]byte(cm.Data["kubeconfig"]), &config); err != nil {
		return Cluster{}, fmt.Errorf("%w: %w", ErrNoClusterInfo, err)
	}
	if len(config.Clusters) != 1 {
		return Cluster{}, fmt.Errorf("%w: %d clusters", ErrNoClusterInfo, len(config.Clusters))
	}
	c := config.Clusters[0].Cluster
	server, err := url.Parse(c.Server)
	if err != nil || server.Host == "" || server.Scheme != "https" {
		return Cluster{}, fmt.Errorf("%w: server %q", ErrNoClusterInfo, c.Server)
	}
	certs, err := cert.ParseCertsPEM(c.CertificateAuthorityData)
	if err != nil {
		return Cluster{}, fmt.Errorf("%w: %w", ErrNoClusterInfo, err)
	}
	host := server.Host
	if server.Port() == "" {
		host += ":443"
	}
	return Cluster{Endpoint: host, CAHash: fmt.Sprintf("sha256:%x", sha256.Sum256(certs[0].RawSubjectPublicKeyInfo))}, nil
}
