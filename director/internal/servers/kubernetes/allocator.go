package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptrace"
	"sync/atomic"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"torikumi/director/internal/call"
	"torikumi/director/internal/match"
	"torikumi/director/internal/servers"
	"torikumi/pkg/agones"
)

const (
	allocationAPI  = "/apis/allocation.agones.dev/v1"
	allocationKind = "GameServerAllocation"
)

// Allocator is a servers.Allocator that creates GameServerAllocations.
type Allocator struct{ client rest.Interface }

// NewAllocator makes an Allocator.
func NewAllocator(config *rest.Config) (*Allocator, error) {
	client, err := newREST(config)
	return &Allocator{client: client}, err
}

// Ready checks that GameServerAllocations are served.
func (a *Allocator) Ready(ctx context.Context) error { return served(ctx, a.client, allocationAPI) }

// allocation is a GameServerAllocation.
type allocation struct {
	Kind       string            `json:"kind"`
	APIVersion string            `json:"apiVersion"`
	Spec       *allocationSpec   `json:"spec,omitempty"`
	Status     *allocationStatus `json:"status,omitempty"`
}

type stamp struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

type allocationStatus struct {
	State          string `json:"state"`
	GameServerName string `json:"gameServerName"`
	Metadata       stamp  `json:"metadata"`
	place
}

// Allocate implements servers.Allocator. client-go does not repeat the call: it
// would after errors that do not say whether a server was allocated. Nor does it name
// the type of a body that is bytes; Agones refuses one without.
func (a *Allocator) Allocate(ctx context.Context, m *match.Match, sel servers.Selector) (servers.Server, call.Effect, error) {
	body, err := request(m, sel)
	if err != nil {
		return servers.Server{}, call.Refused, fmt.Errorf("allocate for match %q: %w", m.ID, err)
	}
	var sent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent.Store(true) }})
	result := a.client.Post().AbsPath(allocationAPI, "namespaces", sel.Namespace, "gameserverallocations").
		SetHeader("Content-Type", "application/json").Body(body).MaxRetries(0).Do(ctx)
	// Raw would not say what the answer's Status says.
	if err := result.Error(); err != nil {
		return servers.Server{}, effect(err, sent.Load()), fmt.Errorf("allocate for match %q: %w", m.ID, err)
	}
	answer, err := result.Raw()
	if err != nil {
		return servers.Server{}, call.Unknown, fmt.Errorf("allocate for match %q: %w", m.ID, err)
	}
	s, e, err := read(answer, sel.Namespace)
	if err != nil {
		return servers.Server{}, e, fmt.Errorf("allocate for match %q: %w", m.ID, err)
	}
	return s, e, nil
}

func request(m *match.Match, sel servers.Selector) ([]byte, error) {
	req, err := sel.Request(m)
	if err != nil {
		return nil, err
	}
	return json.Marshal(allocation{Kind: allocationKind, APIVersion: "allocation.agones.dev/v1", Spec: newSpec(req)})
}

// read reads the answer to an allocation. Only the states that say it tell that
// nothing has happened.
func read(answer []byte, namespace string) (servers.Server, call.Effect, error) {
	got := new(allocation)
	if err := json.Unmarshal(answer, got); err != nil {
		return servers.Server{}, call.Unknown, fmt.Errorf("answer: %w", err)
	}
	if got.Kind != allocationKind || got.Status == nil {
		return servers.Server{}, call.Unknown, fmt.Errorf("answer: %q is no %s with a status", got.Kind, allocationKind)
	}
	switch state := got.Status.State; {
	case state == "UnAllocated" || state == "Contention":
		return servers.Server{}, call.Busy, errors.New(state)
	case state != agones.Allocated || got.Status.GameServerName == "":
		return servers.Server{}, call.Unknown, fmt.Errorf("answer: state %q, game server %q", state, got.Status.GameServerName)
	}
	s := servers.Server{
		Namespace: namespace, Name: got.Status.GameServerName, State: agones.Allocated,
		Labels: got.Status.Metadata.Labels, Annotations: got.Status.Metadata.Annotations,
	}
	got.Status.fill(&s)
	return s, call.Done, nil
}

// effect reads the error of an allocation. What is no answer of the API server's,
// and what it cannot say for the server behind it, may have allocated.
func effect(err error, sent bool) call.Effect {
	if !sent {
		return call.NotSent
	}
	var answer apierrors.APIStatus
	if !errors.As(err, &answer) {
		return call.Unknown
	}
	return call.HTTPEffect(int(answer.Status().Code))
}
