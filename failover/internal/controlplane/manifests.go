package controlplane

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

const (
	kustomization = "Kustomization"
	fieldManager  = "controlplane"
)

// InstallCRDs installs the CustomResourceDefinitions in YAML files, or in the
// *.yaml of folders, and waits until they are served. Whatever else is in these
// files is left out.
func (c *Cluster) InstallCRDs(t testing.TB, paths ...string) {
	t.Helper()
	crds, err := envtest.InstallCRDs(c.Config, envtest.CRDInstallOptions{Paths: paths, ErrorIfPathMissing: true, MaxTime: patience, PollInterval: poll})
	if err != nil {
		t.Fatal(err)
	}
	if len(crds) == 0 {
		t.Fatalf("no CustomResourceDefinition in %q", paths)
	}
}

// Apply applies all objects of YAML files, or of the *.yaml of folders, in
// their order, server-side and as the administrator. An object without a
// namespace that needs one gets "default". Kustomizations are left out.
func (c *Cluster) Apply(t testing.TB, paths ...string) {
	t.Helper()
	c.apply(t, read(t, paths))
}

func (c *Cluster) apply(t testing.TB, objects []*unstructured.Unstructured) {
	t.Helper()
	client, err := dynamic.NewForConfig(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(c.Client.Discovery()))
	for _, object := range objects {
		if err := applyOne(t.Context(), client, mapper, object); err != nil {
			t.Fatalf("apply %s %s: %v", object.GetKind(), object.GetName(), err)
		}
	}
}

func applyOne(ctx context.Context, client dynamic.Interface, mapper meta.RESTMapper, object *unstructured.Unstructured) error {
	kind := object.GroupVersionKind()
	mapping, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return err
	}
	resource := client.Resource(mapping.Resource)
	options := metav1.ApplyOptions{FieldManager: fieldManager, Force: true}
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		ns := object.GetNamespace()
		if ns == "" {
			ns = metav1.NamespaceDefault
		}
		_, err = resource.Namespace(ns).Apply(ctx, object.GetName(), object, options)
		return err
	}
	_, err = resource.Apply(ctx, object.GetName(), object, options)
	return err
}

func read(t testing.TB, paths []string) []*unstructured.Unstructured {
	t.Helper()
	var objects []*unstructured.Unstructured
	for _, path := range paths {
		files := []string{path}
		if info, err := os.Stat(path); err != nil {
			t.Fatal(err)
		} else if info.IsDir() {
			if files, err = filepath.Glob(filepath.Join(path, "*.yaml")); err != nil {
				t.Fatal(err)
			}
		}
		for _, file := range files {
			more, err := readFile(file)
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			objects = append(objects, more...)
		}
	}
	return objects
}

func readFile(name string) ([]*unstructured.Unstructured, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return decode(f)
}

// decode reads a stream of YAML documents.
func decode(r io.Reader) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(r, 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		switch {
		case errors.Is(err, io.EOF):
			return objects, nil
		case err != nil:
			return nil, err
		case len(object.Object) > 0 && object.GetKind() != kustomization:
			objects = append(objects, object)
		}
	}
}
