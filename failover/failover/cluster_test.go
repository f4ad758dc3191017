package failover_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"torikumi/failover/cloud/memory"
	"torikumi/failover/failover"
	"torikumi/pkg/porttest"
	"torikumi/pkg/service"
)

// apiServer answers discovery, the namespace kube-system and the CRD, and forbids
// all else.
type apiServer struct {
	crd    *unstructured.Unstructured
	lacks  string        // an API group
	denies bool          // the approval of certificates
	stalls chan struct{} // if set, there is no answer before it is closed, and then an error
}

func (a *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.stalls != nil {
		select {
		case <-a.stalls:
		case <-r.Context().Done():
		}
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	groups := map[string]metav1.APIResource{
		"failover.operator.io": {Name: "nodefailovers", SingularName: "nodefailover", Kind: "NodeFailover"},
		"apiextensions.k8s.io": {Name: "customresourcedefinitions", SingularName: "customresourcedefinition", Kind: "CustomResourceDefinition"},
		"certificates.k8s.io":  {Name: "certificatesigningrequests", SingularName: "certificatesigningrequest", Kind: "CertificateSigningRequest"},
		"authorization.k8s.io": {Name: "selfsubjectaccessreviews", SingularName: "selfsubjectaccessreview", Kind: "SelfSubjectAccessReview"},
		"agones.dev":           {Name: "gameservers", SingularName: "gameserver", Kind: "GameServer", Namespaced: true},
	}
	delete(groups, a.lacks)
	reply := func(code int, o any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(o) // the client will say so
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch path := r.URL.Path; {
	case path == "/version":
		reply(200, version.Info{Major: "1", Minor: "34"})
	case path == "/api":
		reply(200, metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}})
	case path == "/apis":
		list := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}}
		for g := range groups {
			v := metav1.GroupVersionForDiscovery{GroupVersion: g + "/v1", Version: "v1"}
			list.Groups = append(list.Groups, metav1.APIGroup{Name: g, Versions: []metav1.GroupVersionForDiscovery{v}, PreferredVersion: v})
		}
		reply(200, list)
	case path == "/api/v1":
		reply(200, metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: "v1", APIResources: []metav1.APIResource{
			{Name: "nodes", SingularName: "node", Kind: "Node"}, {Name: "namespaces", SingularName: "namespace", Kind: "Namespace"},
		}})
	case len(parts) == 3 && groups[parts[1]].Name != "":
		reply(200, metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: parts[1] + "/v1", APIResources: []metav1.APIResource{groups[parts[1]]}})
	case path == "/api/v1/namespaces/kube-system":
		reply(200, map[string]any{"kind": "Namespace", "apiVersion": "v1", "metadata": map[string]any{"name": "kube-system", "uid": "c1"}})
	case a.crd != nil && strings.HasSuffix(path, "/customresourcedefinitions/nodefailovers.failover.operator.io"):
		reply(200, a.crd)
	case parts[len(parts)-1] == "selfsubjectaccessreviews":
		reply(201, map[string]any{"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "status": map[string]any{"allowed": !a.denies}})
	case len(parts) == 3 && parts[0] == "apis" || parts[len(parts)-1] == "leases":
		reply(404, metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Code: 404, Reason: metav1.StatusReasonNotFound})
	default:
		reply(403, metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Code: 403,
			Reason: metav1.StatusReasonForbidden, Message: parts[len(parts)-1] + " is forbidden"})
	}
}

// runAgainst runs the controller with an API server; its end comes out of done.
func runAgainst(t *testing.T, a *apiServer) (logs *logBuffer, stop func(), done chan error) {
	s := httptest.NewServer(a)
	t.Cleanup(s.Close)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	logs, done = new(logBuffer), make(chan error, 1)
	cfg := settings()
	go func() {
		done <- failover.RunWith(ctx, cfg, &rest.Config{Host: s.URL}, memory.New("zone-a"), slog.New(slog.NewTextHandler(logs, nil)), func(service.Addrs) {})
	}()
	return logs, cancel, done
}

func ends(t *testing.T, done chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		t.Fatal("it does not end")
		return nil
	}
}

// A controller that may not see the cluster says what is missing, and ends when
// it is told to.
func TestForbiddenLists(t *testing.T) {
	logs, stop, done := runAgainst(t, &apiServer{crd: ourCRD(t)})
	const want = "apply manifests/base/failover: cannot list nodefailovers: "
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for begun := time.Now(); !strings.Contains(logs.String(), want); <-tick.C {
		if time.Since(begun) > patience {
			t.Fatalf("no %q in %s", want, logs)
		}
	}
	stop()
	if err := ends(t, done); err != nil {
		t.Error(err)
	}
	for _, also := range []string{"cannot list nodes", "apply manifests/base/failover: cannot list certificatesigningrequests", "install Agones, then apply manifests/base/failover: cannot list gameservers"} {
		if !strings.Contains(logs.String(), also) {
			t.Errorf("no %q in %s", also, logs)
		}
	}
}

// An API server that does not answer keeps nobody from ending.
func TestEndsBeforeTheClusterAnswers(t *testing.T) {
	a := &apiServer{stalls: make(chan struct{})}
	_, stop, done := runAgainst(t, a)
	stop()
	if err := ends(t, done); err != nil {
		t.Error(err)
	}
	close(a.stalls)
}

func TestMissingKinds(t *testing.T) {
	for group, want := range map[string]string{
		"failover.operator.io": "apply manifests/base/failover: the cluster knows no NodeFailover",
		"agones.dev":           "install Agones, then apply manifests/base/failover: the cluster knows no GameServer",
	} {
		_, _, done := runAgainst(t, &apiServer{lacks: group})
		if err := ends(t, done); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("without %s: %v", group, err)
		}
	}
}

// ourCRD is the one in the manifests.
func ourCRD(t *testing.T) *unstructured.Unstructured {
	t.Helper()
	crd := new(unstructured.Unstructured)
	if err := yaml.Unmarshal([]byte(read(t, manifests+"/crd/failover.operator.io_nodefailovers.yaml")), &crd.Object); err != nil {
		t.Fatal(err)
	}
	return crd
}

// A CRD that would drop what the controller persists ends it at its start, as
// one does that it may not read.
func TestEarlierCRD(t *testing.T) {
	for field, path := range map[string][]string{
		"status":                         {"status"},
		"status.failedPlacements":        {"status", "properties", "failedPlacements"},
		"status.failedPlacements.reason": {"status", "properties", "failedPlacements", "items", "properties", "reason"},
		"status.vm.externalIP":           {"status", "properties", "vm", "properties", "externalIP"},
		"status.lost.gameServers":        {"status", "properties", "lost", "properties", "gameServers"}, // inline
		"spec.sharedLoad.cpu":            {"spec", "properties", "sharedLoad", "properties", "cpu"},
	} {
		t.Run(field, func(t *testing.T) {
			crd := ourCRD(t)
			version := crd.Object["spec"].(map[string]any)["versions"].([]any)[0].(map[string]any)
			unstructured.RemoveNestedField(version, append([]string{"schema", "openAPIV3Schema", "properties"}, path...)...)
			_, _, done := runAgainst(t, &apiServer{crd: crd})
			if err := ends(t, done); err == nil || !strings.HasPrefix(err.Error(), "apply manifests/base/failover/crd first: ") || !strings.HasSuffix(err.Error(), "lacks "+field) {
				t.Error(err)
			}
		})
	}
	crd := ourCRD(t)
	crd.Object["spec"].(map[string]any)["versions"].([]any)[0].(map[string]any)["name"] = "v1alpha1"
	for want, a := range map[string]*apiServer{
		"lacks version v1":                {crd: crd},
		"apply manifests/base/failover: ": {},
	} {
		_, _, done := runAgainst(t, a)
		if err := ends(t, done); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// Without the right to approve, VMs would be made that can't join.
func TestMayNotApprove(t *testing.T) {
	_, _, done := runAgainst(t, &apiServer{crd: ourCRD(t), denies: true})
	if err := ends(t, done); err == nil || !strings.Contains(err.Error(), "apply manifests/base/failover first: the controller may not approve") || !strings.Contains(err.Error(), "--token-group=system:bootstrappers:kubeadm:default-node-token") {
		t.Error(err)
	}
}

func TestUnreachableCluster(t *testing.T) {
	nobody := "http://" + porttest.Hold(t).String()
	err := failover.RunWith(t.Context(), settings(), &rest.Config{Host: nobody}, memory.New(), slog.New(slog.DiscardHandler), nil)
	if want := "the cluster at " + nobody + " can't be reached (--kubeconfig says which it is)"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
}

// process has no environment.
func process(args []string, stdout, stderr io.Writer) service.Process {
	return service.Process{Args: args, Getenv: func(string) string { return "" }, Stdout: stdout, Stderr: stderr}
}

func TestCommands(t *testing.T) {
	t.Setenv("KUBECONFIG", "")
	t.Setenv("HOME", t.TempDir())
	absent := filepath.Join(t.TempDir(), "absent")
	const wrong = "wrong settings (--help shows all):\n  "
	for args, want := range map[string]struct {
		code int
		text string
	}{
		"help":                           {0, "  status    print"},
		"frob":                           {2, `unknown command "frob"`},
		"status --help":                  {0, "--max-wait"},
		"status --frob":                  {2, "failover status: " + wrong},
		"status --grace=-30s":            {2, wrong + "--grace: must be positive"},
		"status":                         {2, wrong + "--kubeconfig: required"},
		"status --kubeconfig=" + absent:  {2, absent},
		"drill":                          {2, "failover drill: " + wrong + "--node: required"},
		"drill --node=a --kubeconfig=/x": {2, wrong + "--kubeconfig, or else $KUBECONFIG"},
	} {
		var out, errs strings.Builder
		code := failover.Command(t.Context(), process(strings.Fields(args), &out, &errs), nil)
		if text := out.String() + errs.String(); code != want.code || !strings.Contains(text, want.text) || (code == 0) != (errs.Len() == 0) {
			t.Errorf("%s: exit %d: %s", args, code, text)
		}
	}
	nobody := "http://" + porttest.Hold(t).String()
	t.Setenv("KUBECONFIG", absent)
	writeKubeconfig(t, absent, nobody)
	var out, errs strings.Builder
	code := failover.Command(t.Context(), process([]string{"status"}, &out, &errs), nil)
	if want := fmt.Sprintf("failover status: the cluster at %s can't be reached", nobody); code != 1 || !strings.Contains(errs.String(), want) {
		t.Errorf("exit %d: %s", code, errs.String())
	}
}

func TestHelpNamesCommands(t *testing.T) {
	var out strings.Builder
	code := service.Start(t.Context(), "failover", failover.Run, []string{"--help"}, func(string) string { return "" }, &out, &out)
	for _, want := range []string{"failover COMMAND", "  status ", "  drill ", "--http-listen"} {
		if code != 0 || !strings.Contains(out.String(), want) {
			t.Errorf("exit %d, no %q in the help", code, want)
		}
	}
}

func writeKubeconfig(t *testing.T, file, server string) {
	t.Helper()
	text := "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: c}}]\nclusters: [{name: c, cluster: {server: \"" + server + "\"}}]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
