package kubernetes

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"

	"torikumi/director/internal/servers"
)

const gameServerText = `{
	"apiVersion": "agones.dev/v1", "kind": "GameServer",
	"metadata": {"name": "a", "namespace": "games", "uid": "u", "resourceVersion": "7",
		"labels": {"l": "1"}, "annotations": {"n": "2"},
		"managedFields": [{"manager": "m", "operation": "Update", "fieldsV1": {"f:status": {}}}]},
	"spec": {"anything": ["that", {"is": 1}]},
	"status": STATUS}`

// decode reads a GameServer with a status as the client for them does.
func decode(t testing.TB, status string) *gameServer {
	t.Helper()
	scheme, _ := newScheme()
	obj, err := runtime.Decode(decoder(scheme), []byte(strings.Replace(gameServerText, "STATUS", status, 1)))
	if err != nil {
		t.Fatal(err)
	}
	return obj.(*gameServer)
}

// decoder is the one that the client takes for answers in JSON.
func decoder(scheme *runtime.Scheme) runtime.Decoder {
	c := codecs(scheme)
	return c.DecoderToVersion(c.SupportedMediaTypes()[0].Serializer, nil)
}

func TestGameServer(t *testing.T) {
	gs := decode(t, `{"state": "Ready", "address": "1.2.3.4", "nodeName": "n", "later": 1,
		"addresses": [{"type": "ExternalIP", "address": "5.6.7.8"}], "ports": [{"name": "game", "port": 7000}]}`)
	kept, err := trim(gs)
	if err != nil {
		t.Fatal(err)
	}
	copied := kept.(runtime.Object).DeepCopyObject().(*gameServer)
	if diff := cmp.Diff(kept, runtime.Object(copied), cmp.AllowUnexported(gameServerStatus{})); diff != "" {
		t.Errorf("the copy differs:\n%s", diff)
	}
	gs.Status.Ports[0].Port, gs.Status.Addresses[0].Address, gs.Labels["l"], gs.Annotations["n"] = 1, "", "", ""
	got, err := copied.server()
	if err != nil {
		t.Fatal(err)
	}
	want := servers.Server{
		Namespace: "games", Name: "a", UID: "u", Version: "7", State: "Ready", Address: "1.2.3.4", Node: "n",
		Labels: map[string]string{"l": "1"}, Annotations: map[string]string{"n": "2"},
		Addresses: []servers.Address{{Type: "ExternalIP", Address: "5.6.7.8"}}, Ports: []servers.Port{{Name: "game", Number: 7000}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if copied.ManagedFields != nil {
		t.Errorf("managed fields are kept: %v", copied.ManagedFields)
	}
}

// What one server's status has to hide is no error of the stream that all come by.
func TestUnreadableStatus(t *testing.T) {
	for _, status := range []string{`{"state": 1}`, `{"ports": [{"port": 99999999999}]}`, `{"addresses": "none"}`, `[]`, `"x"`} {
		gs := decode(t, status)
		if _, err := gs.server(); err == nil || !strings.Contains(err.Error(), "game server games/a: status: ") {
			t.Errorf("%s: %v", status, err)
		}
		list, err := appendServer([]servers.Server{{Name: "b"}}, gs)
		if list != nil || err == nil {
			t.Errorf("%s: %v, %v", status, list, err)
		}
	}
	for _, status := range []string{`{}`, `null`} {
		if s, err := decode(t, status).server(); err != nil || s.State != "" || s.Name != "a" {
			t.Errorf("%s: %v, %v", status, s, err)
		}
	}
}

func TestListIsCopied(t *testing.T) {
	list := &gameServerList{Items: []gameServer{*decode(t, `{"ports": [{"port": 1}]}`)}}
	copied := list.DeepCopyObject().(*gameServerList)
	list.Items[0].Status.Ports[0].Port, list.Items[0].Labels["l"] = 2, "2"
	if got := copied.Items[0]; got.Status.Ports[0].Port != 1 || got.Labels["l"] != "1" {
		t.Errorf("the copy has changed: %v", got)
	}
}

// BenchmarkGameServer is what each change of a server costs the director.
func BenchmarkGameServer(b *testing.B) {
	var fields strings.Builder
	for range 100 {
		fields.WriteString(`{"name": "FIELD", "value": "of a container"},`)
	}
	spec := `"spec": {"containers": [` + strings.TrimSuffix(fields.String(), ",") + `]}`
	text := strings.Replace(gameServerText, `"spec": {"anything": ["that", {"is": 1}]}`, spec, 1)
	text = strings.Replace(text, "STATUS", `{"state": "Allocated", "address": "1.2.3.4", "ports": [{"name": "game", "port": 7000}]}`, 1)
	scheme, _ := newScheme()
	d := decoder(scheme)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := runtime.Decode(d, []byte(text)); err != nil {
			b.Fatal(err)
		}
	}
}

func TestClientSettings(t *testing.T) {
	config := &rest.Config{Host: "https://127.0.0.1:1", UserAgent: "u"}
	if _, err := newClient(config); err != nil {
		t.Fatal(err)
	}
	if text, err := json.Marshal(config.GroupVersion); err != nil || string(text) != "null" {
		t.Errorf("the caller's settings have changed: %s, %v", text, err)
	}
}
