package manifests

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// Set is what one kustomization makes.
type Set struct {
	// Name is the kustomization's folder below the folder it was found in.
	Name    string
	YAML    []byte
	Objects []*unstructured.Unstructured
}

// Render makes what the kustomization in dir says.
func Render(name, dir string) (*Set, error) {
	made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		return nil, fmt.Errorf("render %s: %w", name, err)
	}
	text, err := made.AsYaml()
	if err != nil {
		return nil, fmt.Errorf("render %s: %w", name, err)
	}
	set := &Set{Name: name, YAML: text}
	for _, r := range made.Resources() {
		o := new(unstructured.Unstructured) // by JSON, so that numbers are int64
		content, err := r.MarshalJSON()
		if err == nil {
			err = o.UnmarshalJSON(content)
		}
		if err != nil {
			return nil, fmt.Errorf("render %s: %s: %w", name, r.CurId(), err)
		}
		set.Objects = append(set.Objects, o)
	}
	return set, nil
}

// Find returns the folders below root that hold a kustomization of a kind,
// Kustomization or Component, relative to root.
func Find(root, kind string) ([]string, error) {
	var found []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		text, err := os.ReadFile(filepath.Join(path, "kustomization.yaml"))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err == nil && strings.Contains("\n"+string(text), "\nkind: "+kind+"\n") {
			found = append(found, filepath.ToSlash(rel))
		}
		return err
	})
	return found, err
}

// ID names an object as kubectl does.
func ID(o *unstructured.Unstructured) string {
	id := strings.ToLower(o.GetKind()) + "/" + o.GetName()
	if ns := o.GetNamespace(); ns != "" {
		return ns + " " + id
	}
	return id
}
