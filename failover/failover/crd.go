package failover

import (
	"context"
	"fmt"
	"reflect"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "torikumi/failover/api/v1"
)

// checkCRD refuses the CustomResourceDefinition of an earlier version. The API
// server drops a field that is not in it, without an error: what is persisted before
// anything is done (how often a placement has failed, which token was made) would be
// lost.
func checkCRD(ctx context.Context, live client.Reader) error {
	name := "nodefailovers." + v1.GroupVersion.Group
	crd := new(unstructured.Unstructured)
	crd.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
	switch err := live.Get(ctx, client.ObjectKey{Name: name}, crd); {
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%s: %w", remedy(v1.GroupVersion.Group), err)
	case err != nil:
		return fmt.Errorf("read CustomResourceDefinition %s: %w", name, err)
	}
	if lacks := lacking(crd); len(lacks) > 0 {
		return fmt.Errorf("apply manifests/base/failover/crd first: the cluster's CustomResourceDefinition %s is that of another version, and lacks %s",
			name, strings.Join(lacks, ", "))
	}
	return nil
}

// lacking are the fields of a NodeFailover that are not in a
// CustomResourceDefinition.
func lacking(crd *unstructured.Unstructured) []string {
	versions, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
	for _, v := range versions {
		if version, ok := v.(map[string]any); ok && version["name"] == v1.GroupVersion.Version {
			fields, _, _ := unstructured.NestedMap(version, "schema", "openAPIV3Schema")
			return undeclared("", reflect.TypeFor[v1.NodeFailover](), fields)
		}
	}
	return []string{"version " + v1.GroupVersion.Version}
}

// undeclared are the fields of a Go type, by their paths, that are not in a schema.
func undeclared(path string, t reflect.Type, fields map[string]any) []string {
	switch t.Kind() {
	case reflect.Pointer:
		return undeclared(path, t.Elem(), fields)
	case reflect.Slice:
		items, _ := fields["items"].(map[string]any)
		return undeclared(path, t.Elem(), items)
	case reflect.Struct:
	default:
		return nil
	}
	properties, ok := fields["properties"].(map[string]any)
	if !ok {
		return nil // no object in JSON, such as an instant, or one of Kubernetes's own, such as metadata
	}
	var lacks []string
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" { // inline
			lacks = append(lacks, undeclared(path, f.Type, fields)...)
			continue
		}
		if property, ok := properties[name].(map[string]any); ok {
			lacks = append(lacks, undeclared(path+name+".", f.Type, property)...)
		} else {
			lacks = append(lacks, path+name)
		}
	}
	return lacks
}
