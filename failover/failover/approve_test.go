package failover_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/cloud"
	"torikumi/failover/failover"
	"torikumi/failover/internal/join"
)

// otherGroup is of tokens that are nobody's here.
const otherGroup = "system:bootstrappers:others"

// asking is a certificate request that is made with a token.
type asking struct {
	token, name, org string
	signer           string
	usages           []certificatesv1.KeyUsage
	san              string
}

// ask makes a certificate request as who has the token, and returns its name.
func (r *harness) ask(a asking) string {
	r.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		r.Fatal(err)
	}
	if a.org == "" {
		a.org = "system:nodes"
	}
	c := &x509.CertificateRequest{Subject: pkix.Name{CommonName: a.name, Organization: []string{a.org}}}
	if a.san != "" {
		c.DNSNames = []string{a.san}
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, c, key)
	if err != nil {
		r.Fatal(err)
	}
	if a.signer == "" {
		a.signer = certificatesv1.KubeAPIServerClientKubeletSignerName
	}
	if a.usages == nil {
		a.usages = []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth}
	}
	kube, err := kubernetes.NewForConfig(&rest.Config{Host: r.cluster.URL, BearerToken: a.token, TLSClientConfig: rest.TLSClientConfig{CAData: r.cluster.CA}})
	if err != nil {
		r.Fatal(err)
	}
	var made *certificatesv1.CertificateSigningRequest
	r.eventually("the API server knows the token, and takes the request", func() (err error) {
		made, err = kube.CertificatesV1().CertificateSigningRequests().Create(r.Context(), &certificatesv1.CertificateSigningRequest{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "asks-"},
			Spec: certificatesv1.CertificateSigningRequestSpec{
				Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), SignerName: a.signer, Usages: a.usages,
			},
		}, metav1.CreateOptions{})
		return err
	})
	r.Cleanup(func() {
		_ = r.admin.Delete(context.Background(), &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{Name: made.Name}})
	})
	return made.Name
}

// answer of a certificate request: Approved, Denied or nothing.
func (r *harness) answer(name string) (string, *certificatesv1.CertificateSigningRequest) {
	r.Helper()
	var c certificatesv1.CertificateSigningRequest
	if err := r.admin.Get(r.Context(), client.ObjectKey{Name: name}, &c); err != nil {
		r.Fatal(err)
	}
	for _, condition := range c.Status.Conditions {
		return string(condition.Type), &c
	}
	return "", &c
}

func (r *harness) answered(name, want string) {
	r.Helper()
	r.eventually("the certificate request is "+want, func() error {
		if got, c := r.answer(name); got != want {
			return fmt.Errorf("it is %q: %+v", got, c.Status.Conditions)
		}
		return nil
	})
}

// held holds VMs back until they are told to join.
func (r *harness) held() (scripts chan cloud.Spec) {
	scripts = make(chan cloud.Spec, 8)
	r.cloud.OnRunning = func(s cloud.Spec, _ cloud.Instance) { scripts <- s }
	return scripts
}

func (r *harness) booted(scripts chan cloud.Spec) cloud.Spec {
	r.Helper()
	select {
	case s := <-scripts:
		return s
	case <-time.After(patience):
		r.Fatal("no VM boots")
		return cloud.Spec{}
	}
}

// joins lets a VM that was held back join.
func (r *harness) joins(s cloud.Spec) {
	j := joining(s.StartupScript, s.Name)
	j.ProviderID, j.External = "memory://"+s.Zone+"/"+s.Name, "198.51.100.1"
	r.wg.Go(func() { r.live(j, func() bool { return r.exists(s.Ref) }) })
}

// TestApprovalRefused: another --token-group that only one of the two policies names is
// not tried, as --check says; that nothing is approved then is an event of the failover.
func TestApprovalRefused(t *testing.T) {
	r := newHarness(t, shared.Get(t))
	r.cfg.TokenGroup = otherGroup
	r.mayAsk(otherGroup)
	r.podAccount()
	r.onprem("worker-w")
	inPolicy := func(name, group string) {
		t.Helper()
		p := &admissionregistrationv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if err := r.admin.Get(context.Background(), client.ObjectKeyFromObject(p), p); err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(p.Spec.Variables, func(v admissionregistrationv1.Variable) bool { return v.Name == "group" })
		was, old := p.Spec.Variables[i].Expression, p.DeepCopy()
		p.Spec.Variables[i].Expression = "'" + group + "'"
		if err := r.admin.Patch(context.Background(), p, client.MergeFrom(old)); err != nil { // Kubernetes writes its status
			t.Fatal(err)
		}
		r.afterwards(func() error {
			body := fmt.Appendf(nil, `[{"op":"replace","path":"/spec/variables/%d/expression","value":%q}]`, i, was)
			return r.admin.Patch(context.Background(), p, client.RawPatch(types.JSONPatchType, body))
		})
	}
	inPolicy("torikumi-failover-tokens", base64.StdEncoding.EncodeToString([]byte(otherGroup)))
	const want = "ok     policies (tried with Node worker-w; not tried: --token-group=" + otherGroup + " with the policy torikumi-failover-certificates)"
	r.eventually("the policy is in force", func() error {
		var out bytes.Buffer
		_ = failover.CheckWith(t.Context(), r.cfg, r.kube, r.cloud, &out)
		if !strings.Contains(out.String(), want) {
			return errors.New(out.String())
		}
		return nil
	})
	scripts := r.held()
	r.controller(r.kube)
	r.unplug("worker-w")
	spec := r.booted(scripts)
	asked := r.ask(asking{name: "system:node:" + spec.Name, token: joining(spec.StartupScript, spec.Name).Token})
	f, err := r.failover("worker-w")
	if err != nil {
		t.Fatal(err)
	}
	r.waitForEvents(f, "AnswerRefused")
	inPolicy("torikumi-failover-certificates", otherGroup)
	r.answered(asked, string(certificatesv1.CertificateApproved))
	r.joins(spec)
	r.phase("worker-w", v1.Active)
	r.onprem("worker-w")
	r.ends("worker-w", spec.Name)
}

// TestApproval: who has a temporary VM's token gets the certificate of that VM's node
// and no other, from whichever controller leads, and also if none did when it asked.
func TestApproval(t *testing.T) {
	r := newHarness(t, shared.Get(t))
	scripts := r.held()
	r.onprem("worker-9") // by a token of kubeadm's group, which Kubernetes approves by itself
	stop := r.controller(r.kube)
	r.unplug("worker-9")
	spec := r.booted(scripts)
	token := joining(spec.StartupScript, spec.Name).Token
	node := "system:node:" + spec.Name

	for what, a := range map[string]asking{
		"another name":      {name: "system:node:worker-9"},
		"no node":           {name: "admin"},
		"another group":     {name: node, org: "system:masters"},
		"alternative names": {name: node, san: "kubernetes.default"},
		"a server's":        {name: node, usages: []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth, certificatesv1.UsageKeyEncipherment, certificatesv1.UsageServerAuth}},
		"a token of nobody": {name: node, token: r.token("nobody", join.TokenGroup)},
		"a token with more": {name: node, token: r.token("more", join.TokenGroup+","+otherGroup)},
	} {
		if a.token == "" {
			a.token = token
		}
		name := r.ask(a)
		r.answered(name, string(certificatesv1.CertificateDenied))
		if _, c := r.answer(name); len(c.Status.Certificate) > 0 {
			t.Errorf("%s: it has a certificate", what)
		}
	}
	serving := r.ask(asking{name: node, token: token, signer: certificatesv1.KubeletServingSignerName, usages: []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageServerAuth}})
	ofUser := r.ask(asking{name: node, token: token, signer: certificatesv1.KubeAPIServerClientSignerName})
	r.mayAsk(otherGroup)
	others := r.ask(asking{name: node, token: r.token("others", otherGroup)})

	// Nobody leads: who asks waits, and is answered by the next.
	stop()
	asked := r.ask(asking{name: node, token: token})
	second := r.ask(asking{name: "system:node:other", token: token})
	r.controller(r.kube)
	r.controller(r.kube)
	r.answered(asked, string(certificatesv1.CertificateApproved))
	r.answered(second, string(certificatesv1.CertificateDenied))
	r.eventually("it has its certificate", func() error {
		if _, c := r.answer(asked); len(c.Status.Certificate) == 0 {
			return fmt.Errorf("it has none")
		}
		return nil
	})
	for what, name := range map[string]string{"a serving certificate": serving, "another signer": ofUser, "another's token": others} {
		if got, c := r.answer(name); got != "" || len(c.Status.Certificate) > 0 {
			t.Errorf("%s is %q", what, got)
		}
	}
	f, err := r.failover("worker-9")
	if err != nil {
		t.Fatal(err)
	}
	r.waitForEvents(f, "CertificateApproved", "CertificateDenied")

	// The VM joins after all that; with its token gone nobody asks any more.
	r.joins(spec)
	r.phase("worker-9", v1.Active)
	r.eventually("the token is deleted", func() error { return none(r.tokens(), "tokens") })
	r.onprem("worker-9")
	r.ends("worker-9", spec.Name)
}

// mayAsk lets a group make certificate requests.
func (r *harness) mayAsk(group string) {
	r.Helper()
	b := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "test-may-ask"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:node-bootstrapper"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: group}},
	}
	if err := r.admin.Create(r.Context(), b); err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = r.admin.Delete(context.Background(), b) })
}

// allowTokens sets of which group the controller may make tokens.
func (r *harness) allowTokens(group string) {
	r.Helper()
	policy := &admissionregistrationv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "torikumi-failover-tokens"}}
	if err := r.admin.Get(r.Context(), client.ObjectKeyFromObject(policy), policy); err != nil {
		r.Fatal(err)
	}
	old := policy.DeepCopy()
	policy.Spec.Variables[0].Expression = "'" + base64.StdEncoding.EncodeToString([]byte(group)) + "'"
	if err := r.admin.Patch(r.Context(), policy, client.MergeFrom(old)); err != nil { // Kubernetes writes its status
		r.Fatal(err)
	}
	its, err := client.New(r.kube, client.Options{Scheme: r.admin.Scheme()})
	if err != nil {
		r.Fatal(err)
	}
	r.eventually("the policy is in force", func() error {
		return its.Create(r.Context(), join.TokenSecret(join.NewTokenID(), join.NewTokenSecret(), group, "vm", time.Now().Add(time.Minute)), client.DryRunAll)
	})
}

// TestTokensOfKubeadm: a VM whose token an earlier version has made joins while this
// one leads; and with --token-group it goes on as it did.
func TestTokensOfKubeadm(t *testing.T) {
	r := newHarness(t, shared.Get(t))
	scripts := r.held()
	r.onprem("worker-8")
	r.cfg.TokenGroup = join.KubeadmGroup
	r.allowTokens(join.KubeadmGroup) // the policy has to be told too
	stop := r.controller(r.kube)
	r.unplug("worker-8")
	spec := r.booted(scripts)
	stop()
	r.cfg.TokenGroup = join.TokenGroup
	r.allowTokens(join.TokenGroup)
	r.controller(r.kube)
	r.joins(spec)
	r.phase("worker-8", v1.Active)
	r.onprem("worker-8")
	r.ends("worker-8", spec.Name)
}

// token makes a bootstrap token of a group, which is nobody's of the controller.
func (r *harness) token(name, group string) string {
	r.Helper()
	id, secret := join.NewTokenID(), join.NewTokenSecret()
	s := join.TokenSecret(id, secret, group, name, time.Now().Add(time.Hour))
	s.Labels = nil
	if err := r.admin.Create(r.Context(), s); err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = r.admin.Delete(context.Background(), &corev1.Secret{ObjectMeta: s.ObjectMeta}) })
	return id + "." + secret
}
