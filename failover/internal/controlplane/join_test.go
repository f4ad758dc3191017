package controlplane_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"torikumi/failover/internal/controlplane"
	"torikumi/pkg/eventually"
)

// token makes a bootstrap token as kubeadm does, and removes it with the test.
func token(t *testing.T, c *controlplane.Cluster, id, secret string, valid time.Duration) string {
	t.Helper()
	secrets := c.Client.CoreV1().Secrets(metav1.NamespaceSystem)
	_, err := secrets.Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "bootstrap-token-" + id},
		Type:       corev1.SecretType("bootstrap.kubernetes.io/token"),
		StringData: map[string]string{
			"token-id":                       id,
			"token-secret":                   secret,
			"expiration":                     time.Now().Add(valid).UTC().Format(time.RFC3339),
			"usage-bootstrap-authentication": "true",
			"usage-bootstrap-signing":        "true",
			"auth-extra-groups":              "system:bootstrappers:kubeadm:default-node-token",
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := secrets.Delete(context.WithoutCancel(t.Context()), "bootstrap-token-"+id, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Error(err)
		}
	})
	return id + "." + secret
}

func join(t *testing.T, c *controlplane.Cluster, token, name string) *controlplane.Node {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	began := time.Now()
	node, err := controlplane.Join(ctx, controlplane.Joining{
		Server: c.URL, Token: token, CAHash: c.CAHash,
		Name: name, Labels: map[string]string{"node-type": "gcp-temporary"}, ProviderID: "test://" + name, Address: "10.0.0.1",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Client.CoreV1().Nodes().Delete(context.WithoutCancel(t.Context()), name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	t.Logf("%s joined after %s", name, time.Since(began).Round(time.Millisecond))
	return node
}

func TestJoin(t *testing.T) {
	c := shared.Get(t)
	c.Bootstrap(t)
	c.Bootstrap(t) // again is nothing
	secret := token(t, c, "joinme", "0123456789abcdef", time.Hour)
	node := join(t, c, secret, "joined")

	got, err := c.Client.CoreV1().Nodes().Get(t.Context(), "joined", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !controlplane.IsReady(got) || got.Labels["node-type"] != "gcp-temporary" || got.Spec.ProviderID != "test://joined" {
		t.Errorf("the node is not as registered: %+v", got)
	}
	if _, err := c.Client.CoordinationV1().Leases(corev1.NamespaceNodeLease).Get(t.Context(), "joined", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}

	// The node has a node's rights and no more.
	self := client(t, node.Config)
	review, err := self.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if user := review.Status.UserInfo.Username; user != "system:node:joined" {
		t.Errorf("the node is %q", user)
	}
	join(t, c, secret, "other")
	patch := []byte(`{"metadata":{"labels":{"mine":"yes"}}}`)
	_, err = self.CoreV1().Nodes().Patch(t.Context(), "other", "application/merge-patch+json", patch, metav1.PatchOptions{})
	if !apierrors.IsForbidden(err) {
		t.Errorf("a node labels another: %v, want forbidden", err)
	}
}

func TestJoinIsRefused(t *testing.T) {
	c := shared.Get(t)
	c.Bootstrap(t)
	good := token(t, c, "refuse", "0123456789abcdef", time.Hour)
	valid := controlplane.Joining{Server: c.URL, Token: good, CAHash: c.CAHash, Name: "refused"}

	j := valid
	j.CAHash = "sha256:00"
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := controlplane.Join(ctx, j); !errors.Is(err, controlplane.ErrCAHash) {
		t.Errorf("with another CA's hash: %v", err)
	}
	for name, token := range map[string]string{"unknown": "absent.0123456789abcdef", "wrong": "refuse.ffffffffffffffff"} {
		j := valid
		j.Token = token
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := controlplane.Join(ctx, j); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a token that is %s: %v", name, err)
		}
	}
	if _, err := c.Client.CoreV1().Nodes().Get(t.Context(), "refused", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("a refused node is there: %v", err)
	}
}

func TestTokenExpires(t *testing.T) {
	c := shared.Get(t)
	token(t, c, "expire", "0123456789abcdef", 2*time.Second)
	eventually.Within(t, time.Minute, "the token is deleted when it has expired", func() error {
		_, err := c.Client.CoreV1().Secrets(metav1.NamespaceSystem).Get(t.Context(), "bootstrap-token-expire", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("it is there, or: %w", err)
	})
}

func TestSilentNodeIsNotReady(t *testing.T) {
	c := shared.Get(t)
	c.Bootstrap(t)
	node := join(t, c, token(t, c, "silent", "0123456789abcdef", time.Hour), "silent")
	isReady := func() bool {
		got, err := c.Client.CoreV1().Nodes().Get(t.Context(), "silent", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return controlplane.IsReady(got)
	}
	becomes := func(want bool) {
		t.Helper()
		eventually.Within(t, time.Minute, fmt.Sprintf("ready = %v", want), func() error {
			if isReady() != want {
				return fmt.Errorf("it is not")
			}
			return nil
		})
	}
	alive := func() (die func()) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- node.Run(ctx, grace/8) }()
		return func() {
			cancel()
			// Kubernetes writes Nodes too; what comes after that may have been cut off.
			if err := <-done; err != nil && !apierrors.IsConflict(err) {
				t.Error(err)
			}
		}
	}

	// Alive for longer than the grace, it stays Ready.
	die := alive()
	beat := func() time.Time {
		l, err := c.Client.CoordinationV1().Leases(corev1.NamespaceNodeLease).Get(t.Context(), "silent", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return l.Spec.RenewTime.Time
	}
	first := beat()
	eventually.Within(t, time.Minute, "it beats for longer than the grace", func() error {
		if !isReady() {
			t.Fatal("NotReady while it beats")
		}
		if d := beat().Sub(first); d < 3*grace/2 {
			return fmt.Errorf("so far for %s", d)
		}
		return nil
	})
	die()
	died := beat()
	becomes(false)
	took := time.Since(died)
	t.Logf("NotReady %s after the last heartbeat, with a grace of %s", took.Round(10*time.Millisecond), grace)
	if took < grace/2 {
		t.Error("that is too soon")
	}
	die = alive()
	becomes(true)
	die()
}
