package join_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"slices"
	"strings"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"

	"torikumi/failover/internal/join"
)

func subject(t testing.TB, change func(*x509.CertificateRequest)) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.CertificateRequest{Subject: pkix.Name{CommonName: "system:node:vm-1", Organization: []string{"system:nodes"}}}
	change(c)
	der, err := x509.CreateCertificateRequest(rand.Reader, c, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

// request is what a kubelet sends with a token.
func request(t testing.TB) *certificatesv1.CertificateSigningRequest {
	return &certificatesv1.CertificateSigningRequest{Spec: certificatesv1.CertificateSigningRequestSpec{
		Request: subject(t, func(*x509.CertificateRequest) {}), SignerName: certificatesv1.KubeAPIServerClientKubeletSignerName,
		Username: "system:bootstrap:abcdef", Groups: []string{"system:bootstrappers", join.TokenGroup, "system:authenticated"},
		Usages: []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth},
	}}
}

func TestCheckRequest(t *testing.T) {
	for name, change := range map[string]func(*certificatesv1.CertificateSigningRequest){
		"as a kubelet asks": func(*certificatesv1.CertificateSigningRequest) {},
		"with an RSA key": func(r *certificatesv1.CertificateSigningRequest) {
			r.Spec.Usages = append(r.Spec.Usages, certificatesv1.UsageKeyEncipherment)
		},
	} {
		r := request(t)
		change(r)
		if err := join.CheckRequest(r, join.TokenGroup, "vm-1"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	with := func(change func(*x509.CertificateRequest)) func(*certificatesv1.CertificateSigningRequest) {
		return func(r *certificatesv1.CertificateSigningRequest) { r.Spec.Request = subject(t, change) }
	}
	for want, change := range map[string]func(*certificatesv1.CertificateSigningRequest){
		`it is for "system:node:vm-2", the token is for node vm-1`: with(func(c *x509.CertificateRequest) { c.Subject.CommonName = "system:node:vm-2" }),
		`it is for "vm-1"`:       with(func(c *x509.CertificateRequest) { c.Subject.CommonName = "vm-1" }),
		"CN=system:node:vm-1,O=": with(func(c *x509.CertificateRequest) { c.Subject.Organization = []string{"system:masters"} }),
		"system:masters": with(func(c *x509.CertificateRequest) {
			c.Subject.Organization = append(c.Subject.Organization, "system:masters")
		}),
		"OU=more":                  with(func(c *x509.CertificateRequest) { c.Subject.OrganizationalUnit = []string{"more"} }),
		"it has alternative names": with(func(c *x509.CertificateRequest) { c.DNSNames = []string{"vm-1"} }),
		"alternative names":        with(func(c *x509.CertificateRequest) { c.IPAddresses = []net.IP{net.IPv4(10, 0, 0, 1)} }),
		"alternative":              with(func(c *x509.CertificateRequest) { c.EmailAddresses = []string{"a@studio.example"} }),
		"the signer is kubernetes.io/kubelet-serving": func(r *certificatesv1.CertificateSigningRequest) {
			r.Spec.SignerName = certificatesv1.KubeletServingSignerName
		},
		"of the group system:masters too": func(r *certificatesv1.CertificateSigningRequest) {
			r.Spec.Groups = append(r.Spec.Groups, "system:masters")
		},
		"of the group " + join.KubeadmGroup: func(r *certificatesv1.CertificateSigningRequest) {
			r.Spec.Groups = append(r.Spec.Groups, join.KubeadmGroup)
		},
		`for the usage "server auth"`: func(r *certificatesv1.CertificateSigningRequest) {
			r.Spec.Usages = append(r.Spec.Usages, certificatesv1.UsageServerAuth)
		},
		"not for a client's signatures": func(r *certificatesv1.CertificateSigningRequest) { r.Spec.Usages = r.Spec.Usages[:1] },
		"not one PEM block": func(r *certificatesv1.CertificateSigningRequest) {
			r.Spec.Request = append(r.Spec.Request, r.Spec.Request...)
		},
		"PEM block": func(r *certificatesv1.CertificateSigningRequest) { r.Spec.Request = nil },
		"can't be read": func(r *certificatesv1.CertificateSigningRequest) {
			r.Spec.Request = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: []byte("x")})
		},
	} {
		r := request(t)
		change(r)
		if err := join.CheckRequest(r, join.TokenGroup, "vm-1"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestRequestToken(t *testing.T) {
	r := request(t)
	if id, ok := join.RequestToken(r, join.TokenGroup); id != "abcdef" || !ok {
		t.Errorf("%q %v", id, ok)
	}
	r.Spec.Groups = []string{"system:bootstrappers", join.KubeadmGroup}
	if _, ok := join.RequestToken(r, join.TokenGroup); ok {
		t.Error("a token of kubeadm's group is taken for ours")
	}
	r = request(t)
	r.Spec.Username = "system:node:abcdef"
	if _, ok := join.RequestToken(r, join.TokenGroup); ok {
		t.Error("a node is taken for a token")
	}
	if !join.IsTokenGroup(join.TokenGroup) || !join.IsTokenGroup(join.KubeadmGroup) {
		t.Error("the groups are none")
	}
	for _, wrong := range []string{"", "system:bootstrappers", "system:bootstrappers:", "system:bootstrappers:a,system:masters", "system:masters", "system:bootstrappers:A"} {
		if join.IsTokenGroup(wrong) {
			t.Errorf("%q is a group", wrong)
		}
	}
}

// Whatever a request holds, it is refused or asks for no other name.
func FuzzCheckRequest(f *testing.F) {
	f.Add(request(f).Spec.Request)
	f.Add([]byte("-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := request(t)
		r.Spec.Request = data
		if join.CheckRequest(r, join.TokenGroup, "vm-1") != nil {
			return
		}
		block, _ := pem.Decode(data)
		c, err := x509.ParseCertificateRequest(block.Bytes)
		if err != nil || c.Subject.CommonName != "system:node:vm-1" || !slices.Equal(c.Subject.Organization, []string{"system:nodes"}) {
			t.Errorf("accepted: %v %v", c.Subject, err)
		}
	})
}
