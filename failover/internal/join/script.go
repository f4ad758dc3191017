// Package join makes a temporary VM a node: the bootstrap token that it joins
// with, and the script that it runs at each boot. Between a dead node and the
// first game on its replacement, this is the longest part of the way.
package join

import (
	_ "embed"
	"encoding/base64"
	"fmt"
	"strings"
	"text/template"
	"unicode"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Params are what a startup script is made from.
type Params struct {
	// Node is the Node's name, ProviderID its spec.providerID. Clouds whose
	// machines don't know it before they exist leave it empty.
	Node       string
	ProviderID string
	// Endpoint is the API server's host:port, Token the whole bootstrap token,
	// CAHash "sha256:…" of the cluster's CA.
	Endpoint string
	Token    string
	CAHash   string
	// Labels and Taints are registered by the kubelet itself.
	Labels map[string]string
	Taints []string
	// ExternalCloud: the kubelet waits for a cloud-controller-manager, or for
	// the controller, to initialise the Node.
	ExternalCloud bool
	// NodeIP is the address for --node-ip, or a shell command in $(…) that
	// prints it after the hook has run; empty leaves it to the kubelet.
	NodeIP string
	// Hook is a shell script that runs as root before the join, for example to
	// enter an overlay network. It runs at each boot.
	Hook string
	// KubeletArgs are flags for the kubelet, after those in the image's own file and
	// before what is made from the other fields.
	KubeletArgs string
	// KeepCopy: the machine keeps the script, and runs it at each boot from when its
	// metadata has none any more.
	KeepCopy bool
	// RequireKata ends the join unless the machine can run Kata containers.
	RequireKata bool
}

// MetadataOpenLabel is on the Node of a VM whose pods may reach the metadata server:
// it has no tool that keeps them from it.
const MetadataOpenLabel = "failover.operator.io/metadata-open"

// ScriptKeptLabel is on the Node of a VM that keeps a copy of its startup script and
// runs that at each boot: the script in its metadata is not needed any more.
const ScriptKeptLabel = "failover.operator.io/script-kept"

//go:embed join.sh
var text string

// metadataRules keeps pods away from the metadata server.
//
//go:embed metadata.sh
var metadataRules string

var script = template.Must(template.New("join.sh").Funcs(template.FuncMap{"quote": quote, "base64": base64.StdEncoding.EncodeToString}).Parse(text))

// quote makes one word of the shell from s, whatever is in it.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// Script is the startup script. It holds the token.
func Script(p Params) (string, error) {
	for what, v := range map[string]string{"node": p.Node, "endpoint": p.Endpoint, "token": p.Token, "CA hash": p.CAHash} {
		if v == "" {
			return "", fmt.Errorf("startup script: no %s", what)
		}
	}
	for what, v := range map[string]string{"node": p.Node, "provider id": p.ProviderID, "endpoint": p.Endpoint, "node IP": p.NodeIP} {
		if strings.ContainsAny(v, "\n\r") {
			return "", fmt.Errorf("startup script: line break in the %s", what)
		}
	}
	// They become one word of a line in the kubelet's environment file.
	for k, v := range p.Labels {
		if len(validation.IsQualifiedName(k)) > 0 || len(validation.IsValidLabelValue(v)) > 0 {
			return "", fmt.Errorf("startup script: %q=%q is no label", k, v)
		}
	}
	for _, t := range p.Taints {
		if strings.ContainsFunc(t, func(r rune) bool {
			return !strings.ContainsRune("-_./=:", r) && (r > 'z' || !unicode.IsLetter(r) && !unicode.IsDigit(r))
		}) {
			return "", fmt.Errorf("startup script: %q is no taint", t)
		}
	}
	if p.KubeletArgs != "" {
		if !MayBeArgs(p.KubeletArgs) {
			return "", fmt.Errorf("startup script: %q are no flags of the kubelet", p.KubeletArgs)
		}
		p.KubeletArgs += " "
	}
	if p.NodeIP != "" && !strings.HasPrefix(p.NodeIP, "$(") {
		p.NodeIP = quote(p.NodeIP)
	}
	var b strings.Builder
	err := script.Execute(&b, struct {
		Params
		LabelList, TaintList string
		HookBytes            []byte
		MetadataRules        string
		MetadataOpen         string
		ScriptKept           string
	}{p, labels.Set(p.Labels).String(), strings.Join(p.Taints, ","), []byte(p.Hook), metadataRules, MetadataOpenLabel, ScriptKeptLabel})
	if err != nil {
		return "", fmt.Errorf("startup script: %w", err)
	}
	return b.String(), nil
}
