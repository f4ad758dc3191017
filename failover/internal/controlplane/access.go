package controlplane

import (
	"context"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// ConfigFor is the configuration of a client that acts as a ServiceAccount,
// with no rights but those bound to it. The account must exist. The token is
// valid for an hour.
func (c *Cluster) ConfigFor(t testing.TB, namespace, name string) *rest.Config {
	t.Helper()
	token, err := c.Client.CoreV1().ServiceAccounts(namespace).
		CreateToken(t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("get a token for service account %s/%s: %v", namespace, name, err)
	}
	return &rest.Config{
		Host:            c.URL,
		BearerToken:     token.Status.Token,
		TLSClientConfig: rest.TLSClientConfig{CAData: c.CA},
	}
}

// Namespace makes a namespace with a new name, and deletes it when the test
// ends. What is in it is gone soon after, if there is a controller manager.
func (c *Cluster) Namespace(t testing.TB) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	made, err := c.Client.CoreV1().Namespaces().Create(t.Context(), ns, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("make a namespace: %v", err)
	}
	t.Cleanup(func() {
		err := c.Client.CoreV1().Namespaces().Delete(context.WithoutCancel(t.Context()), made.Name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Errorf("delete namespace %q: %v", made.Name, err)
		}
	})
	return made.Name
}
