// Package v1 states as much of Agones's API agones.dev/v1 as miniagones
// supports, with Agones's names. What it does not support it declares where
// Agones has it, so that the API server refuses it by name instead of dropping
// it.
//
// +kubebuilder:object:generate=true
// +groupName=agones.dev
package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"torikumi/pkg/agones"
)

// GroupVersion is that of GameServer and Fleet.
var GroupVersion = schema.GroupVersion{Group: agones.Group, Version: agones.Version}

// AddToScheme adds the kinds of this package to a scheme.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion, &GameServer{}, &GameServerList{}, &Fleet{}, &FleetList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
