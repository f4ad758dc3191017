package kubernetes

import (
	"encoding/json"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"

	"torikumi/director/internal/servers"
	"torikumi/pkg/agones"
)

const resource = "gameservers"

// gameServer is what is read of a GameServer. Each match changes one, so each is read
// as often: the spec, which is most of it, is passed over.
type gameServer struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Status            gameServerStatus `json:"status"`
}

type gameServerStatus struct {
	State string `json:"state"`
	place `json:",inline"`
	// unreadable is why the rest is empty.
	unreadable error
}

// UnmarshalJSON implements json.Unmarshaler. One status that cannot be read is no
// reason to lose sight of all the servers that are watched with it.
func (s *gameServerStatus) UnmarshalJSON(text []byte) error {
	type plain gameServerStatus
	if err := json.Unmarshal(text, (*plain)(s)); err != nil {
		*s = gameServerStatus{unreadable: fmt.Errorf("status: %w", err)}
	}
	return nil
}

type gameServerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`
	Items           []gameServer `json:"items"`
}

// place is where players reach a server, in the status of a GameServer and of an
// allocation alike.
type place struct {
	Address   string    `json:"address"`
	Addresses []address `json:"addresses"`
	NodeName  string    `json:"nodeName"`
	Ports     []port    `json:"ports"`
}

type address struct {
	Type    string `json:"type"`
	Address string `json:"address"`
}

type port struct {
	Name string `json:"name"`
	Port int32  `json:"port"`
}

func (p place) fill(s *servers.Server) {
	s.Address, s.Node = p.Address, p.NodeName
	for _, a := range p.Addresses {
		s.Addresses = append(s.Addresses, servers.Address{Type: a.Type, Address: a.Address})
	}
	for _, port := range p.Ports {
		s.Ports = append(s.Ports, servers.Port{Name: port.Name, Number: port.Port})
	}
}

func (gs *gameServer) server() (servers.Server, error) {
	if err := gs.Status.unreadable; err != nil {
		return servers.Server{}, fmt.Errorf("game server %s/%s: %w", gs.Namespace, gs.Name, err)
	}
	s := servers.Server{
		Namespace: gs.Namespace, Name: gs.Name, UID: string(gs.UID), Version: gs.ResourceVersion,
		State: gs.Status.State, Labels: gs.Labels, Annotations: gs.Annotations, CreateTime: gs.CreationTimestamp.Time,
	}
	gs.Status.fill(&s)
	return s, nil
}

// DeepCopyObject implements runtime.Object.
func (gs *gameServer) DeepCopyObject() runtime.Object { return gs.deepCopy() }

func (gs *gameServer) deepCopy() *gameServer {
	c := *gs
	gs.ObjectMeta.DeepCopyInto(&c.ObjectMeta)
	c.Status.Addresses, c.Status.Ports = slices.Clone(gs.Status.Addresses), slices.Clone(gs.Status.Ports)
	return &c
}

// DeepCopyObject implements runtime.Object.
func (l *gameServerList) DeepCopyObject() runtime.Object {
	c := *l
	l.ListMeta.DeepCopyInto(&c.ListMeta)
	c.Items = slices.Clone(l.Items)
	for i := range c.Items {
		c.Items[i] = *c.Items[i].deepCopy()
	}
	return &c
}

// newScheme has the types that the API server answers with, for a group and version.
func newScheme() (*runtime.Scheme, schema.GroupVersion) {
	version := schema.GroupVersion{Group: agones.Group, Version: agones.Version}
	scheme := runtime.NewScheme()
	scheme.AddKnownTypeWithName(version.WithKind("GameServer"), &gameServer{})
	scheme.AddKnownTypeWithName(version.WithKind("GameServerList"), &gameServerList{})
	metav1.AddToGroupVersion(scheme, version)
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"}) // errors are of a type in it
	return scheme, version
}

// codecs read and write the types of a scheme as they are.
func codecs(scheme *runtime.Scheme) runtime.NegotiatedSerializer {
	return serializer.NewCodecFactory(scheme).WithoutConversion()
}

// newClient makes a client for GameServers.
func newClient(config *rest.Config) (rest.Interface, error) {
	scheme, version := newScheme()
	c := rest.CopyConfig(config)
	c.APIPath, c.GroupVersion, c.NegotiatedSerializer = "/apis", &version, codecs(scheme)
	c.ContentType, c.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	client, err := rest.RESTClientFor(c)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	return client, nil
}
