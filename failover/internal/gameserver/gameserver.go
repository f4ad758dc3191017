// Package gameserver states as much of Agones's API (agones.dev/v1) as the failover
// controller reads. What is not stated is dropped when an object is read, so
// that a thousand game servers fit into little memory; objects are therefore
// never written whole, only patched and deleted.
package gameserver

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"torikumi/pkg/agones"
	"torikumi/pkg/contract"
)

// GroupVersion is that of GameServers.
var GroupVersion = schema.GroupVersion{Group: agones.Group, Version: agones.Version}

// HiddenAnnotation holds the value of an allocatable label that was taken away,
// to be restored.
const HiddenAnnotation = "failover.operator.io/allocatable"

// GameServer is a game server as far as it matters here.
type GameServer struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Status            GameServerStatus `json:"status,omitempty"`
}

// GameServerStatus says where a server runs and what it is doing.
type GameServerStatus struct {
	State    string `json:"state,omitempty"`
	NodeName string `json:"nodeName,omitempty"`
}

// GameServerList is a list of them.
type GameServerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []GameServer `json:"items"`
}

// DeepCopy copies a server.
func (g *GameServer) DeepCopy() *GameServer {
	out := new(GameServer)
	*out = *g
	g.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	return out
}

// DeepCopyObject implements runtime.Object.
func (g *GameServer) DeepCopyObject() runtime.Object { return g.DeepCopy() }

// DeepCopyObject implements runtime.Object.
func (l *GameServerList) DeepCopyObject() runtime.Object {
	out := &GameServerList{TypeMeta: l.TypeMeta}
	l.ListMeta.DeepCopyInto(&out.ListMeta)
	for i := range l.Items {
		out.Items = append(out.Items, *l.Items[i].DeepCopy())
	}
	return out
}

// AddToScheme adds the kinds of this package to a scheme.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion, &GameServer{}, &GameServerList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}

// Trim drops what nobody reads before a server is cached.
func Trim(obj any) (any, error) {
	if g, ok := obj.(*GameServer); ok {
		g.ManagedFields = nil
		g.OwnerReferences = nil
		g.Finalizers = nil
		keep := func(m map[string]string, key string) map[string]string {
			if v, ok := m[key]; ok {
				return map[string]string{key: v}
			}
			return nil
		}
		g.Labels = keep(g.Labels, contract.AllocatableLabel)
		g.Annotations = keep(g.Annotations, HiddenAnnotation)
	}
	return obj, nil
}
