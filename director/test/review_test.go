package test_test

import (
	"errors"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"torikumi/director/internal/review"
	directorkubernetes "torikumi/director/internal/servers/kubernetes"
	"torikumi/pkg/eventually"
)

// TestTokenReview: the API server says whose pod a token was projected into, and with the
// rights of the manifests the director may ask it.
func TestTokenReview(t *testing.T) {
	f := startFleet(t)
	if err := f.Apply(t.Context(), "../../manifests/components/backfill/rbac.yaml"); err != nil {
		t.Fatal(err)
	}
	r, err := directorkubernetes.NewReviewer(f.director(t))
	if err != nil {
		t.Fatal(err)
	}
	// Not that of the games: there the policies of base/games want a GameServer.
	const namespace = "token-review"
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "gate-of-a-game"},
		Spec:       corev1.PodSpec{ServiceAccountName: "gates", Containers: []corev1.Container{{Name: "game", Image: "none"}}},
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "gates"}}
	for _, o := range []client.Object{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, account, pod} {
		if err := f.Admin.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Admin.Delete(t.Context(), o) })
	}
	token := f.token(t, namespace, "gates", pod.Name, pod.UID, review.Audience)
	eventually.NoError(t, "the token is known", func() error {
		of, err := r.Review(t.Context(), token)
		if err == nil && of != (review.Identity{Namespace: namespace, Name: pod.Name}) {
			t.Fatalf("it is that of %v", of)
		}
		return err
	})
	for name, token := range map[string]string{
		"for another audience": f.token(t, namespace, "gates", pod.Name, pod.UID, "other"),
		"of no pod":            f.token(t, namespace, "gates", "", "", review.Audience),
		"cut":                  token[:len(token)-4],
		"changed":              strings.Replace(token, ".", ".e", 1),
		"none":                 "x",
	} {
		if of, err := r.Review(t.Context(), token); !errors.Is(err, review.ErrRefused) {
			t.Errorf("%s: %v, %v", name, of, err)
		}
	}
	zero := int64(0)
	if err := f.Admin.Delete(t.Context(), pod, &client.DeleteOptions{GracePeriodSeconds: &zero}); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "the token of a pod that is gone is good for nothing", func() bool {
		_, err := r.Review(t.Context(), token)
		return errors.Is(err, review.ErrRefused)
	})
}

// token asks for a token of a service account, bound to a pod if there is one.
func (f *fleet) token(t testing.TB, namespace, account, pod string, uid types.UID, audience string) string {
	t.Helper()
	api, err := kubernetes.NewForConfig(f.Config)
	if err != nil {
		t.Fatal(err)
	}
	req := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{audience}}}
	if pod != "" {
		req.Spec.BoundObjectRef = &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod, UID: uid}
	}
	made, err := api.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), account, req, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return made.Status.Token
}
