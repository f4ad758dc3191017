package failover_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/failover"
	"torikumi/failover/internal/controller"
	"torikumi/pkg/service"
)

// TestOthersRefuse: what webhooks of others refuse, or do not answer, of the dry runs is
// told by --check and in the log, and ends no start: the next one may be in an outage.
func TestOthersRefuse(t *testing.T) {
	r := newHarness(t, shared.Get(t))
	r.podAccount()
	r.cfg.ProbeImage = "registry.example.com/pause:1"
	r.onprem("worker-t")
	r.webhook("pods.studio.example.com", "pods", func(q *admissionv1.AdmissionRequest) string {
		return "the image must be signed: " + string(q.Object.Raw)
	})
	r.webhook("nodes.studio.example.com", "nodes", func(*admissionv1.AdmissionRequest) string { return "no taint without a ticket" })
	r.webhook("secrets.studio.example.com", "secrets", nil)
	var out bytes.Buffer
	r.eventually("the webhooks are in force", func() error {
		out.Reset()
		_ = failover.CheckWith(t.Context(), r.cfg, r.kube, r.cloud, &out)
		note := regexp.MustCompile(`(?m)^failover: (.*) policies (.*)$`).FindStringSubmatch(out.String())
		if note == nil || note[1] != "ok    " {
			return errors.New(out.String())
		}
		for _, want := range []string{
			`not known: try --token-group=` + r.cfg.TokenGroup + `: Internal error occurred: failed calling webhook "secrets.studio.example.com"`,
			`try the pod of a drill (with the image "registry.example.com/pause:1", see --drill-probe-image): admission webhook "pods.studio.example.com" denied the request: the image must be signed`,
			`"image":"registry.example.com/pause:1"`,
			`try --watched-label=` + r.cfg.WatchedLabel + `: admission webhook "nodes.studio.example.com" denied the request: no taint without a ticket`,
		} {
			if !strings.Contains(note[2], want) {
				return fmt.Errorf("no %s in %s", want, note[2])
			}
		}
		return nil
	})
	var log logBuffer // what controller-runtime has to say of its end comes after it
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	if err := failover.RunWith(ctx, r.cfg, r.kube, r.cloud, slog.New(slog.NewTextHandler(&log, nil)), func(service.Addrs) { stop() }); err != nil {
		t.Errorf("it ends with %v", err)
	}
	if text := log.String(); !strings.Contains(text, "the cluster may refuse what a failover needs") || !strings.Contains(text, "no taint without a ticket") {
		t.Errorf("the log says\n%s", text)
	}
}

// TestWebhookRefuses: what a webhook refuses of a failover stands in its status, as what
// a policy refuses does, and a drill whose pod it refuses ends.
func TestWebhookRefuses(t *testing.T) {
	r := newHarness(t, shared.Get(t))
	r.podAccount()
	r.cfg.ProbeImage = "pause"
	r.onprem("worker-v")
	r.webhook("pods.studio.example.com", "pods", func(*admissionv1.AdmissionRequest) string { return "no pod without a ticket" })
	r.webhook("nodes.studio.example.com", "nodes", func(q *admissionv1.AdmissionRequest) string {
		if q.Name != "worker-v" || !strings.Contains(string(q.Object.Raw), controller.TaintKey) {
			return ""
		}
		return "no taint without a ticket"
	})
	r.eventually("the webhooks are in force", func() error {
		var out bytes.Buffer
		_ = failover.CheckWith(t.Context(), r.cfg, r.kube, r.cloud, &out)
		if text := out.String(); !strings.Contains(text, "no taint without") || !strings.Contains(text, "no pod without") {
			return errors.New(text)
		}
		return nil
	})
	r.boots(true)
	r.controller(r.kube)
	var out output
	r.ended(r.rehearse(&out, "worker-v", patience, nil), &out, "ProbeRefused")
	if !strings.Contains(out.String(), `admission webhook "pods.studio.example.com" denied the request: no pod without a ticket`) {
		t.Errorf("it does not say who:\n%s", &out)
	}
	r.unplug("worker-v")
	f := r.phase("worker-v", v1.Active)
	r.eventually("the status says that there is no taint", func() error {
		f, err := r.failover("worker-v")
		if err != nil {
			return err
		}
		if c := meta.FindStatusCondition(f.Status.Conditions, v1.TaintApplied); c == nil || c.Reason != "Refused" || !strings.Contains(c.Message, "no taint without a ticket") {
			return fmt.Errorf("%+v", c)
		}
		return nil
	})
	if err := r.admin.Delete(t.Context(), r.node("worker-v")); err != nil {
		t.Fatal(err)
	}
	r.onprem("worker-v")
	r.ends("worker-v", f.Status.GCPVMName)
}

// TestTokenRefused: the status says that the API server does not take the bootstrap token,
// no VM is made without one, and it is made once a token is taken.
func TestTokenRefused(t *testing.T) {
	r := newHarness(t, shared.Get(t))
	r.cfg.JoinTimeout = 3 * time.Minute // the token waits for the test
	r.onprem("worker-w")
	var taken atomic.Bool
	r.webhook("secrets.studio.example.com", "secrets", func(q *admissionv1.AdmissionRequest) string {
		if taken.Load() {
			return ""
		}
		return "no secret without a ticket"
	})
	r.eventually("the webhook is in force", func() error {
		var out bytes.Buffer
		if _ = failover.CheckWith(t.Context(), r.cfg, r.kube, r.cloud, &out); !strings.Contains(out.String(), "no secret without a ticket") {
			return errors.New(out.String())
		}
		return nil
	})
	r.boots(true)
	r.controller(r.kube)
	r.unplug("worker-w")
	r.eventually("the status says why", func() error {
		f, err := r.failover("worker-w")
		if err != nil {
			return err
		}
		if c := meta.FindStatusCondition(f.Status.Conditions, v1.VMCreated); c == nil || c.Reason != string(v1.GaveUpTokenRefused) || !strings.Contains(c.Message, "no secret without a ticket") {
			return fmt.Errorf("%+v", f.Status)
		}
		return nil
	})
	if n := r.cloud.Peak(); n > 0 {
		t.Errorf("%d VMs without a token", n)
	}
	taken.Store(true)
	f := r.phase("worker-w", v1.Active)
	if err := r.admin.Delete(t.Context(), r.node("worker-w")); err != nil {
		t.Fatal(err)
	}
	r.onprem("worker-w")
	r.ends("worker-w", f.Status.GCPVMName)
}

// webhook has somebody's webhook be asked about what the controller wants of a kind; it
// answers with why it denies that, or is out of reach. What it has no word against, it allows.
func (r *harness) webhook(name, resource string, why func(*admissionv1.AdmissionRequest) string) {
	r.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		var review admissionv1.AdmissionReview
		if err := json.NewDecoder(q.Body).Decode(&review); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		said := why(review.Request)
		review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: said == "", Result: &metav1.Status{Message: said}}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(&review)
	}))
	r.Cleanup(server.Close)
	if why == nil {
		server.Close()
	}
	hook := &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name: name, SideEffects: new(admissionregistrationv1.SideEffectClassNone), AdmissionReviewVersions: []string{"v1"},
			ClientConfig: admissionregistrationv1.WebhookClientConfig{
				URL: &server.URL, CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
			},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.OperationAll},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{resource}},
			}},
			MatchConditions: []admissionregistrationv1.MatchCondition{{
				Name: "controller", Expression: fmt.Sprintf("request.userInfo.username == 'system:serviceaccount:%s:%s'", namespace, account),
			}},
		}},
	}
	if err := r.admin.Create(r.Context(), hook); err != nil {
		r.Fatal(err)
	}
	r.afterwards(func() error { return r.admin.Delete(context.Background(), hook) })
}
