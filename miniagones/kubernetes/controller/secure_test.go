package controller_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"torikumi/miniagones/internal/conformance"
	"torikumi/miniagones/kubernetes/kubetest"
	"torikumi/pkg/agones"
	"torikumi/pkg/rpc"
	allocationpb "torikumi/proto/agones/allocation"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// TestSecure: with certificates of its own making, allocation takes a client's
// certificate, and GameServerAllocation goes through the API server.
func TestSecure(t *testing.T) {
	h := newHarness(t, "secure")
	listen := kubetest.FreePort(t)
	h.APIService(t, listen)
	a := h.secureController(listen)
	h.create(h.fleet("arena", conformance.ModeServe, 2))
	h.ready(2)

	t.Run("MutualTLS", func(t *testing.T) {
		conn, err := rpc.DialTLS(a.GRPC, h.ClientFiles(t))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		h.eventually("the servers are listed", func() error {
			resp, err := torikumiv1.NewGameServerServiceClient(conn).ListGameServers(t.Context(), &torikumiv1.ListGameServersRequest{Namespace: h.namespace})
			if err != nil {
				t.Fatal(err)
			}
			if n := len(resp.GetGameServers()); n != 2 {
				return fmt.Errorf("%d are", n)
			}
			return nil
		})
		plain, err := allocationpb.NewAllocationServiceClient(h.dial(a.GRPC)).Allocate(t.Context(), &allocationpb.AllocationRequest{Namespace: h.namespace})
		if status.Code(err) != codes.Unavailable {
			t.Errorf("in plain text: %v, %v", plain, err)
		}
	})
	t.Run("GameServerAllocation", func(t *testing.T) { gameServerAllocation(t, h) })
	t.Run("Rights", func(t *testing.T) { allocationRights(t, h, listen) })
}

func gameServerAllocation(t *testing.T, h *harness) {
	var got *allocationAnswer
	h.eventually("a server is allocated", func() (err error) {
		got, err = h.allocate(h.Config, `{"selectors":[{"matchLabels":{"agones.dev/fleet":"none"}},{"matchExpressions":[{"key":"torikumi/allocatable","operator":"Exists"}]}],
			"metadata":{"labels":{"torikumi/match":"m-1"},"annotations":{"roster":"a:b"}}}`)
		if err != nil {
			t.Fatal(err)
		}
		if got.State == "UnAllocated" {
			err = errors.New("none is known")
		}
		return err
	})
	if got.State != "Allocated" || got.Address != "127.0.0.1" || len(got.Ports) != 1 || got.Metadata.Labels["torikumi/match"] != "m-1" {
		t.Errorf("got %+v", got)
	}
	held := h.in(agones.Allocated)
	if len(held) != 1 || held[0].Name != got.GameServerName || held[0].Labels["torikumi/match"] != "m-1" || held[0].Annotations["roster"] != "a:b" {
		t.Errorf("allocated: %v", held)
	}
	if got, err := h.allocate(h.Config, `{"selectors":[{"matchLabels":{"agones.dev/fleet":"none"}}]}`); err != nil || got.State != "UnAllocated" {
		t.Errorf("nothing fits: %+v, %v", got, err)
	}
	for body, field := range map[string]string{
		`{"counters":{"rooms":{"action":"Reset","amount":1}}}`:            "spec.counters[rooms].action",
		`{"lists":{"ids":{"capacity":-1}}}`:                               "spec.lists[ids].capacity",
		`{"priorities":[{"type":"Number","key":"a"}]}`:                    "spec.priorities[0].type",
		`{"selectors":[{"lists":{"a":{"minAvailable":-1}}}]}`:             "spec.selectors[0].lists[a].available",
		`{"selectors":[{"players":{"minAvailable":1}}]}`:                  "spec.selectors[0].players",
		`{"selectors":[{},{"gameServerState":"Shutdown"}]}`:               "spec.selectors[1].gameServerState",
		`{"metadata":{"labels":{"a":"b:c"}}}`:                             "spec.metadata.labels",
		`{"multiClusterSetting":{"enabled":true}}`:                        "spec.multiClusterSetting",
		`{"scheduling":"Wild"}`:                                           "spec.scheduling",
		`{"required":{"matchExpressions":[{"key":"a","operator":"No"}]}}`: "spec.required",
	} {
		if got, err := h.allocate(h.Config, body); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %+v, %v; want an error that names %s", body, got, err, field)
		}
	}
	if n := len(h.in(agones.Allocated)); n != 1 {
		t.Errorf("%d servers Allocated after refused requests", n)
	}
}

// allocationRights: nobody allocates without the right to, and nobody passes for
// the API server.
func allocationRights(t *testing.T, h *harness, listen string) {
	user := rest.CopyConfig(h.Config)
	user.Impersonate = rest.ImpersonationConfig{UserName: "alice", Groups: []string{"system:authenticated"}}
	if got, err := h.allocate(user, `{}`); !apierrors.IsForbidden(err) {
		t.Errorf("without the right: %+v, %v", got, err)
	}
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: h.namespace, Name: "allocate"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"allocation.agones.dev"}, Resources: []string{"gameserverallocations"}, Verbs: []string{"create"}},
	}}
	h.create(role)
	h.create(&rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: h.namespace, Name: "allocate"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "allocate"},
		Subjects: []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "alice"}},
	})
	h.eventually("alice may allocate", func() error {
		got, err := h.allocate(user, `{"selectors":[{"matchLabels":{"agones.dev/fleet":"none"}}]}`)
		if err == nil && got.State != "UnAllocated" {
			t.Errorf("%+v", got)
		}
		return err
	})
	// Past the API server, with a certificate that is not its own.
	direct := rest.CopyConfig(h.Config)
	direct.Host = "https://" + listen
	direct.TLSClientConfig.CAData, direct.TLSClientConfig.Insecure = nil, true
	if got, err := h.allocate(direct, `{}`); err == nil {
		t.Errorf("past the API server: %+v", got)
	}
}

type allocationAnswer struct {
	State, GameServerName, Address string
	Ports                          []struct{ Port int32 }
	Metadata                       struct{ Labels map[string]string }
}

// allocate creates a GameServerAllocation.
func (h *harness) allocate(config *rest.Config, spec string) (*allocationAnswer, error) {
	c, err := rest.UnversionedRESTClientFor(&rest.Config{
		Host: config.Host, TLSClientConfig: config.TLSClientConfig, Impersonate: config.Impersonate,
		ContentConfig: rest.ContentConfig{NegotiatedSerializer: scheme.Codecs.WithoutConversion()},
	})
	if err != nil {
		return nil, err
	}
	body := fmt.Sprintf(`{"apiVersion":"allocation.agones.dev/v1","kind":"GameServerAllocation","spec":%s}`, spec)
	result := c.Post().AbsPath("/apis/allocation.agones.dev/v1/namespaces/"+h.namespace+"/gameserverallocations").
		SetHeader("Content-Type", "application/json").Body([]byte(body)).Do(context.Background())
	if err := result.Error(); err != nil {
		return nil, err
	}
	out, err := result.Raw()
	if err != nil {
		return nil, err
	}
	var got struct{ Status allocationAnswer }
	return &got.Status, json.Unmarshal(out, &got)
}
