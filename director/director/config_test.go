package director_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"torikumi/director/director"
	"torikumi/director/internal/servers/kubernetes"
	"torikumi/pkg/service"
)

func TestWrongSettingsStopTheStart(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "queues.yaml")
	if err := os.WriteFile(bad, []byte("queues: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ruled := filepath.Join(t.TempDir(), "queues.yaml")
	for path, text := range map[string]string{
		ruled: "queues: [{name: duel, rule_set: duel.json}, {name: none, rule_set: none.json}]\n",
		filepath.Join(filepath.Dir(ruled), "duel.json"): `{"ruleLanguageVersion": "1.0", "teams": [], "rule": [],
			"rules": [{"name": "Old", "type": "expression", "expression": "age > 18.0"}]}`,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	filling := filepath.Join(t.TempDir(), "queues.yaml")
	for path, text := range map[string]string{
		filling: "queues: [{name: duel, rule_set: duel.json, backfill: {}}]\n",
		filepath.Join(filepath.Dir(filling), "duel.json"): duelRules,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	asking := filepath.Join(t.TempDir(), "queues.yaml")
	if err := os.WriteFile(asking, []byte("queues: [{name: a, teams: [{name: a, players: 2}], skill: {attribute: s}, acceptance: {time_limit: 21s}}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	program := director.Program{Kubernetes: kubernetes.API{}}
	for _, c := range []struct {
		args string
		want []string
	}{
		{"", []string{"--allocator-ca", "--allocator-cert", "--allocator-key"}},
		{"--allocator-ca=a.pem", []string{"--allocator-cert", "--allocator-key"}},
		{"--allocator-insecure --allocator-ca=a.pem", []string{"--allocator-ca: must not"}},
		{"--allocator-insecure --allocator-server-name=*", []string{"--allocator-server-name: must not"}},
		{"--allocator-insecure --allocator=a:1,nobody", []string{"--allocator: must be host:port or kubernetes", "nobody"}},
		{"--allocator=a:1,kubernetes --kubeconfig=x", []string{"--allocator-ca", "--allocator-cert", "--allocator-key"}},
		{"--allocator-insecure --allocator=", []string{"--allocator: required"}},
		{"--allocator=kubernetes --gameservers=nobody", []string{"--gameservers: must be host:port or kubernetes"}},
		{"--allocator=kubernetes --gameservers=a:1", []string{"--allocator-ca", "--allocator-cert", "--allocator-key"}},
		{"--allocator=kubernetes --allocator-insecure --allocator-ca=a.pem", []string{"--allocator-insecure: must not", "--allocator-ca: must not"}},
		{"--allocator=kubernetes --kubeconfig=a,b", []string{"--kubeconfig: must not be several"}},
		{"--allocator-insecure --gameservers=kubernetes --kubeconfig=a,b", []string{"--kubeconfig: must not be several"}},
		{"--allocator=kubernetes --gameservers=kubernetes --kubeconfig=a,b,a", []string{"--kubeconfig: must not name a file twice"}},
		{"--allocator-insecure --kubeconfig=file", []string{"--kubeconfig: must not be given unless"}},
		{"--allocator=kubernetes --gameservers=kubernetes", []string{"--kubeconfig: required: this is no pod"}},
		{"--allocator-insecure --gameservers=kubernetes --kubeconfig=no.file", []string{"--kubeconfig: ", "no.file"}},
		{"--allocator-insecure --address-types=ExternalIP,Public", []string{"--address-types: must be ExternalDNS, ExternalIP, ", "Public"}},
		{"--allocator-insecure --address-types=ExternalIP,ExternalIP", []string{"--address-types: must not name a type twice"}},
		{"--allocator-insecure --address-annotation=a/b/c", []string{"--address-annotation: must be a key"}},
		{"--allocator=kubernetes --address-node-label=-", []string{"--address-node-label: must be a key"}},
		{"--allocator-insecure --address-node-label=a/b", []string{"--address-node-label: must not be given unless"}},
		{"--allocator-insecure --match-timeout=1m", []string{"--match-timeout: must be shorter than --pending-release-timeout"}},
		{"--allocator-insecure --match-timeout=0s", []string{"--match-timeout: must be positive"}},
		{"--allocator-insecure --pending-release-timeout=-1s", []string{"--pending-release-timeout: must be positive"}},
		{"--allocator-insecure --idle-interval=0s --fetch-silence=0s", []string{"--idle-interval", "--fetch-silence"}},
		{"--allocator-insecure --max-in-flight=0 --announce-buffer=0", []string{"--max-in-flight", "--announce-buffer"}},
		{"--allocator-insecure --matchfunction=nowhere", []string{"--matchfunction: must be host:port"}},
		{"--allocator-insecure --open-match= --open-match-frontend=:1 --gameservers=a:0 --allocator=x:99999",
			[]string{"--open-match-frontend", "--gameservers", "--allocator"}},
		{"--allocator-insecure --gate-cert=c --gate-key=k --gate-insecure", []string{"--gate-cert: must not be given without --gate-listen", "--gate-key: must not", "--gate-insecure: must not be given without --gate-listen"}},
		{"--allocator-insecure --gate-listen=:1", []string{"--gate-cert: required", "--gate-key: required", "--gameservers: required", "--open-match-frontend: required"}},
		{"--allocator-insecure --gate-listen=nowhere --gate-insecure", []string{"--gate-listen: must be host:port"}},
		{"--allocator-insecure --gameservers=a:1 --open-match-frontend=a:1 --gate-listen=:1 --gate-insecure --gate-key=k", []string{"--gate-key: must not be given together with --gate-insecure"}},
		{"--allocator-insecure --gameservers=a:1 --open-match-frontend=a:1 --gate-listen=127.0.0.1:0 --gate-cert=no.file --gate-key=no.file", []string{"--gate-cert, --gate-key: ", "no.file"}},
		{"--allocator-insecure --queues=" + filling, []string{"--queues: queues[0].backfill: must not be there without --gate-listen"}},
		{"--allocator-insecure --queues=" + asking, []string{"--queues: queues[0].acceptance.time_limit: must be at most 20s, so that it, --match-timeout (30s) and 4s more are within nine tenths of --pending-release-timeout (1m0s), got 21s"}},
		{"--allocator-insecure --match-timeout=55s --queues=" + asking, []string{"queues[0].acceptance.time_limit: must be at most 0s"}},
		{"--allocator-insecure --namespace=", []string{"--namespace: required"}},
		{"--allocator-insecure --queues=" + bad, []string{"--queues", "at least one"}},
		{"--allocator-insecure --queues=" + ruled, []string{"--queues", "queues[0].rule_set: duel.json: line 1, column 41: teams: ",
			"queues[0].rule_set: duel.json: line 1, column 45: ",
			`queues[0].rule_set: duel.json: line 2, column 67: rules[0].expression (rule "Old"): undeclared reference to 'age'`, "queues[1].rule_set: none.json cannot be read"}},
		{"--allocator-insecure --queues=" + bad + ".not", []string{"--queues"}},
		{"--allocator-ca=no.pem --allocator-cert=no.pem --allocator-key=no.key --grpc-listen=127.0.0.1:0 --http-listen=127.0.0.1:0",
			[]string{"--allocator-cert, ", "client certificate"}},
		{"--allocator-ca=no.pem --allocator-cert=no.pem --allocator-key=no.key --gameservers=a:1", []string{"--allocator-cert, "}},
	} {
		t.Run(c.args, func(t *testing.T) {
			var stderr bytes.Buffer
			code := service.Start(t.Context(), "director", program.Run, strings.Fields(c.args),
				func(string) string { return "" }, &bytes.Buffer{}, &stderr)
			if code == 0 {
				t.Error("it started")
			}
			for _, w := range c.want {
				if !strings.Contains(stderr.String(), w) {
					t.Errorf("%q is not in:\n%s", w, stderr.String())
				}
			}
		})
	}
}

// TestWithoutKubernetes: a program that links no client of Kubernetes says so.
func TestWithoutKubernetes(t *testing.T) {
	var stderr bytes.Buffer
	code := service.Start(t.Context(), "director", director.Run, []string{"--allocator=kubernetes", "--gameservers=kubernetes"},
		func(string) string { return "" }, &bytes.Buffer{}, &stderr)
	if want := "--allocator and --gameservers: must not be kubernetes: this program has no client"; code == 0 || !strings.Contains(stderr.String(), want) {
		t.Errorf("exit %d, %q is not in:\n%s", code, want, &stderr)
	}
}
