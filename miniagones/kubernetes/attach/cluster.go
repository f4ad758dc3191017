package attach

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "torikumi/miniagones/kubernetes/api/v1"
	"torikumi/miniagones/kubernetes/internal/kube"
	"torikumi/pkg/agones"
)

// callTimeout bounds one call to the API server, so that one out of reach is noticed.
const callTimeout = 15 * time.Second

// Cluster is the access to a cluster.
type Cluster struct {
	// Context is the context of the kubeconfig file.
	Context string

	config *rest.Config
	login  *login
	client client.Client
	scheme *runtime.Scheme
}

// Open reads a kubeconfig file. A context of it, if named, is taken in place of the
// current one.
func Open(kubeconfig, kubecontext string) (*Cluster, error) {
	loading := &clientcmd.ClientConfigLoadingRules{ExplicitPath: kubeconfig}
	if kubecontext == "" { // whatever is the current one later
		if file, err := loading.Load(); err == nil { // else the next attempt says why
			kubecontext = file.CurrentContext
		}
	}
	login, err := newLogin(func() (*rest.Config, error) {
		config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(loading, &clientcmd.ConfigOverrides{CurrentContext: kubecontext}).ClientConfig()
		if err != nil {
			return nil, fmt.Errorf("--kubeconfig: must be a kubeconfig file that names a cluster, and --context one of its contexts: %w", err)
		}
		config.UserAgent, config.QPS = "torikumi-attach", -1
		config.WarningHandler = rest.NoWarnings{}
		return config, nil
	})
	if err != nil {
		return nil, err
	}
	c := &Cluster{Context: kubecontext, config: login.config, login: login, scheme: runtime.NewScheme()}
	for _, add := range []func(*runtime.Scheme) error{v1.AddToScheme, corev1.AddToScheme, authorizationv1.AddToScheme} {
		if err := add(c.scheme); err != nil {
			return nil, fmt.Errorf("scheme: %w", err)
		}
	}
	bounded := &http.Client{Transport: login, Timeout: callTimeout}
	if c.client, err = client.New(c.config, client.Options{HTTPClient: bounded, Scheme: c.scheme, Mapper: mapper()}); err != nil {
		return nil, fmt.Errorf("--kubeconfig: %w", err)
	}
	return c, nil
}

// allowed asks whether the user may do all that is done here, before anything is.
func (c *Cluster) allowed(ctx context.Context, namespace string) error {
	var missing []string
	for _, verb := range []string{"get", "list", "watch", "create", "patch", "delete"} {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: verb, Group: agones.Group, Resource: "gameservers"},
		}}
		if err := c.client.Create(ctx, review); err != nil {
			return c.explain(err)
		}
		if !review.Status.Allowed {
			missing = append(missing, verb)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("the user of the kubeconfig has no right to %s gameservers.%s in namespace %s: the Role of docs/game-server.md gives what is needed",
			strings.Join(missing, ", "), agones.Group, namespace)
	}
	return nil
}

// explained is an error that says what it means.
type explained struct{ error }

func (e explained) Unwrap() error { return e.error }

// explain says what an error means to somebody at a terminal.
func (c *Cluster) explain(err error) error {
	var done explained
	var request *url.Error
	switch {
	case errors.As(err, &done):
		return err
	case apierrors.IsForbidden(err):
		err = fmt.Errorf("the user of the kubeconfig has no right to do that; the Role of docs/game-server.md gives what is needed: %w", err)
	case apierrors.IsUnauthorized(err):
		err = fmt.Errorf("the cluster at %s does not take the credentials of the kubeconfig, which may have expired: log in to the cluster again: %w", c.config.Host, err)
	case apierrors.IsNotFound(err) && strings.Contains(err.Error(), "could not find the requested resource"):
		err = fmt.Errorf("the cluster at %s has neither Agones nor miniagones: %w", c.config.Host, err)
	case errors.As(err, &request):
		err = fmt.Errorf("the cluster at %s can't be reached (--kubeconfig says which it is): %w", c.config.Host, request)
	default:
		return err
	}
	return explained{err}
}

// patch changes metadata of a GameServer, if it is still the same, and returns what it is
// then.
func (c *Cluster) patch(ctx context.Context, gs *v1.GameServer, metadata map[string]any) (*v1.GameServer, error) {
	metadata["uid"] = gs.UID
	patch, err := json.Marshal(map[string]any{"metadata": metadata})
	if err != nil {
		return nil, fmt.Errorf("marshal the patch: %w", err)
	}
	next := &v1.GameServer{ObjectMeta: metav1.ObjectMeta{Namespace: gs.Namespace, Name: gs.Name}}
	return next, c.client.Patch(ctx, next, client.RawPatch(types.MergePatchType, patch))
}

// remove deletes a GameServer, if it is still the same. That there is none is no error.
func (c *Cluster) remove(ctx context.Context, namespace, name, uid string) error {
	gs, id := &v1.GameServer{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}, types.UID(uid)
	err := c.client.Delete(ctx, gs, client.Preconditions{UID: &id})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// removeUnchanged deletes a GameServer, if nothing of it has changed since it was read, and
// reports whether it is gone: a match may have come to it, or who keeps it.
func (c *Cluster) removeUnchanged(ctx context.Context, gs *v1.GameServer) (removed bool, err error) {
	err = c.client.Delete(ctx, gs, client.Preconditions{UID: &gs.UID, ResourceVersion: &gs.ResourceVersion})
	if apierrors.IsConflict(err) {
		return false, nil
	}
	return err == nil || apierrors.IsNotFound(err), client.IgnoreNotFound(err)
}

// LogTo is where the Kubernetes libraries log, in the whole process. A program calls it
// first.
func LogTo(log *slog.Logger) { kube.LogTo(log) }
