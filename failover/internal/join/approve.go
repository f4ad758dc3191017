package join

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
)

// The groups of bootstrap tokens. Kubernetes approves what KubeadmGroup asks for by
// itself, for any node's name; what TokenGroup asks for, the controller approves for
// the one name that the token was made for.
const (
	TokenGroup   = "system:bootstrappers:torikumi:failover"
	KubeadmGroup = "system:bootstrappers:kubeadm:default-node-token"
)

// tokenUser is what the user names of bootstrap tokens begin with.
const tokenUser = "system:bootstrap:"

var groupName = regexp.MustCompile(`^system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]$`)

// IsTokenGroup reports whether a bootstrap token can be of a group.
func IsTokenGroup(name string) bool { return groupName.MatchString(name) }

// RequestToken is the ID of the token that a certificate request was made with, if
// that is of the group.
func RequestToken(r *certificatesv1.CertificateSigningRequest, group string) (id string, ok bool) {
	id, ok = strings.CutPrefix(r.Spec.Username, tokenUser)
	return id, ok && slices.Contains(r.Spec.Groups, group)
}

// CheckRequest says what makes a certificate request another one than that by which
// a kubelet asks, with a token of the group, for the client certificate of a node. The
// checks are those of Kubernetes for kubernetes.io/kube-apiserver-client-kubelet, and
// the name.
func CheckRequest(r *certificatesv1.CertificateSigningRequest, group, node string) error {
	if r.Spec.SignerName != certificatesv1.KubeAPIServerClientKubeletSignerName {
		return fmt.Errorf("the signer is %s", r.Spec.SignerName)
	}
	for _, g := range r.Spec.Groups {
		if g != group && g != "system:bootstrappers" && g != "system:authenticated" {
			return fmt.Errorf("who asks is of the group %s too", g)
		}
	}
	for _, u := range r.Spec.Usages {
		if u != certificatesv1.UsageClientAuth && u != certificatesv1.UsageDigitalSignature && u != certificatesv1.UsageKeyEncipherment {
			return fmt.Errorf("it is for the usage %q", u)
		}
	}
	if !slices.Contains(r.Spec.Usages, certificatesv1.UsageClientAuth) || !slices.Contains(r.Spec.Usages, certificatesv1.UsageDigitalSignature) {
		return errors.New("it is not for a client's signatures")
	}
	return checkSubject(r.Spec.Request, node)
}

func checkSubject(request []byte, node string) error {
	block, rest := pem.Decode(request)
	if block == nil || block.Type != "CERTIFICATE REQUEST" || len(strings.TrimSpace(string(rest))) > 0 {
		return errors.New("it is not one PEM block of a certificate request")
	}
	c, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return fmt.Errorf("it can't be read: %w", err)
	}
	if err := c.CheckSignature(); err != nil {
		return fmt.Errorf("its signature: %w", err)
	}
	switch {
	case c.Subject.CommonName != "system:node:"+node:
		return fmt.Errorf("it is for %q, the token is for node %s", c.Subject.CommonName, node)
	case !slices.Equal(c.Subject.Organization, []string{"system:nodes"}) || len(c.Subject.Names) != 2:
		return fmt.Errorf("its subject is %s", c.Subject)
	case len(c.DNSNames)+len(c.IPAddresses)+len(c.URIs)+len(c.EmailAddresses) > 0:
		return errors.New("it has alternative names")
	}
	return nil
}
