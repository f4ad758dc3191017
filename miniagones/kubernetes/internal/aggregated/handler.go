// Package aggregated serves GameServerAllocation, which the Kubernetes API server
// passes on (API aggregation): creating one allocates a game server, and nothing
// is stored. It is the second way, beside the allocation service, that a match
// gets its game server.
package aggregated

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "torikumi/miniagones/kubernetes/api/v1"
	"torikumi/miniagones/kubernetes/internal/allocate"
)

// Options are what the API needs. All fields have to be set.
type Options struct {
	Allocator  *allocate.Allocator
	FrontProxy *FrontProxy
	// Reviews asks the API server who may do what.
	Reviews client.Client
	Log     *slog.Logger
}

type api struct{ Options }

const (
	root = "/apis/" + Group + "/" + Version
	// bodyLimit is the API server's own for an object.
	bodyLimit = 3 << 20
)

// New makes the API's handler. It has to be served with FrontProxy.TLS.
func New(o Options) http.Handler {
	a := &api{o}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+root+"/namespaces/{namespace}/"+resource, a.create)
	mux.HandleFunc("GET "+root, func(w http.ResponseWriter, _ *http.Request) { write(w, http.StatusOK, resources()) })
	mux.HandleFunc("GET /apis/"+Group, func(w http.ResponseWriter, _ *http.Request) { write(w, http.StatusOK, group()) })
	// Only the plain discovery is spoken; this answer makes the API server use it.
	mux.HandleFunc("GET /apis", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotAcceptable) })
	mux.HandleFunc("GET /openapi/v2", func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusOK, map[string]any{"swagger": "2.0", "info": map[string]string{"title": Group, "version": Version}, "paths": struct{}{}})
	})
	mux.HandleFunc("GET /openapi/v3", func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusOK, map[string]any{"paths": struct{}{}})
	})
	return a.authenticated(mux)
}

// authenticated lets nobody in but the API server.
func (a *api) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := a.FrontProxy.user(r); err != nil {
			refuse(w, apierrors.NewUnauthorized(err.Error()))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func resources() *metav1.APIResourceList {
	return &metav1.APIResourceList{
		TypeMeta:     metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"},
		GroupVersion: Group + "/" + Version,
		APIResources: []metav1.APIResource{
			{Name: resource, SingularName: "gameserverallocation", Namespaced: true, Kind: kind, Verbs: []string{"create"}, ShortNames: []string{"gsa"}},
		},
	}
}

func group() *metav1.APIGroup {
	version := metav1.GroupVersionForDiscovery{GroupVersion: Group + "/" + Version, Version: Version}
	return &metav1.APIGroup{
		TypeMeta: metav1.TypeMeta{Kind: "APIGroup", APIVersion: "v1"}, Name: Group,
		Versions: []metav1.GroupVersionForDiscovery{version}, PreferredVersion: version,
	}
}

func (a *api) create(w http.ResponseWriter, r *http.Request) {
	namespace := r.PathValue("namespace")
	if err := a.authorize(r, namespace); err != nil {
		refuse(w, err)
		return
	}
	obj, err := read(w, r)
	if err != nil {
		refuse(w, err)
		return
	}
	if obj.Namespace != "" && obj.Namespace != namespace {
		refuse(w, apierrors.NewBadRequest("metadata.namespace: must be that of the request"))
		return
	}
	req, errs := obj.request(namespace)
	if len(errs) > 0 {
		refuse(w, apierrors.NewInvalid(groupKind, obj.Name, errs))
		return
	}
	gs, err := a.Allocator.Allocate(r.Context(), req)
	switch {
	case err == nil:
		obj.Status = answer(Allocated, gs)
	case errors.Is(err, allocate.ErrNoneFits):
		obj.Status = answer(UnAllocated, nil)
	case errors.Is(err, allocate.ErrContention):
		obj.Status = answer(Contention, nil)
	default:
		a.Log.Error("allocation failed", "error", err)
		refuse(w, apierrors.NewInternalError(errors.New("the cluster could not be changed")))
		return
	}
	obj.TypeMeta = metav1.TypeMeta{Kind: kind, APIVersion: Group + "/" + Version}
	obj.ObjectMeta = metav1.ObjectMeta{Name: name(obj, gs), Namespace: namespace, CreationTimestamp: metav1.NewTime(time.Now())}
	write(w, http.StatusCreated, obj)
}

func name(obj *allocation, gs *v1.GameServer) string {
	if obj.Name == "" && gs != nil {
		return gs.Name
	}
	return obj.Name
}

// authorize asks the API server whether the user may do this. It has asked
// itself before it passed the request on; this is for a request that it did not.
func (a *api) authorize(r *http.Request, namespace string) error {
	who, err := a.FrontProxy.user(r)
	if err != nil {
		return apierrors.NewUnauthorized(err.Error())
	}
	who.ResourceAttributes = &authorizationv1.ResourceAttributes{
		Namespace: namespace, Verb: "create", Group: Group, Version: Version, Resource: resource,
	}
	review := &authorizationv1.SubjectAccessReview{Spec: *who}
	if err := a.Reviews.Create(r.Context(), review); err != nil {
		a.Log.Error("the API server does not say who may allocate", "error", err)
		return apierrors.NewInternalError(errors.New("the user's rights could not be checked"))
	}
	if !review.Status.Allowed {
		return apierrors.NewForbidden(schema.GroupResource{Group: Group, Resource: resource}, "", errors.New("the user may not create it in this namespace"))
	}
	return nil
}

// read reads the body. Everything but JSON is refused, and so is a dry run: an
// allocation can't be tried.
func read(w http.ResponseWriter, r *http.Request) (*allocation, error) {
	if r.URL.Query().Has("dryRun") {
		return nil, apierrors.NewBadRequest("dryRun: an allocation can't be tried without making it")
	}
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return nil, apierrors.NewInternalError(fmt.Errorf("the header Content-Type: %w", err)) // as Agones
	}
	if media != "application/json" {
		return nil, apierrors.NewGenericServerResponse(http.StatusUnsupportedMediaType, "create", groupResource, "", "the body must be application/json", 0, true)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyLimit))
	if err != nil {
		return nil, apierrors.NewRequestEntityTooLargeError(err.Error())
	}
	obj := new(allocation)
	if err := json.Unmarshal(body, obj); err != nil {
		return nil, apierrors.NewBadRequest("the body must be a GameServerAllocation: " + err.Error())
	}
	if obj.Kind != kind || obj.APIVersion != Group+"/"+Version {
		return nil, apierrors.NewBadRequest("kind and apiVersion: must be " + kind + " and " + Group + "/" + Version)
	}
	return obj, nil
}

var groupResource = schema.GroupResource{Group: Group, Resource: resource}

// refuse writes an error as the API server would.
func refuse(w http.ResponseWriter, err error) {
	status := apierrors.NewInternalError(err).ErrStatus
	var known apierrors.APIStatus
	if errors.As(err, &known) {
		status = known.Status()
	}
	status.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	write(w, int(status.Code), status)
}

func write(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // the client is gone if this fails
}
