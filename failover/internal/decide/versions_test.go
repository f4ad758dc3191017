package decide_test

import (
	"strings"
	"testing"

	"torikumi/failover/internal/decide"
)

func TestSkew(t *testing.T) {
	for v, want := range map[decide.Versions]string{
		{Image: "1.34.4", APIServer: "v1.34.6"}:        "",
		{Image: "1.34.9", APIServer: "v1.34.0"}:        "", // a patch is no skew
		{Image: "1.34", APIServer: "v1.34.6-gke.1234"}: "",
		{Image: "1.31.0", APIServer: "1.34.0"}:         "",
		{Image: "v1.31.0+k3s1", APIServer: "1.34.0"}:   "",
		{Image: "1.30.9", APIServer: "1.34.0"}:         "4 minor versions older",
		{Image: "1.35.0", APIServer: "1.34.6"}:         "newer than the API server",
		{Image: "1.35", APIServer: "1.34.6"}:           "newer than the API server",
		{Image: "2.1.0", APIServer: "1.34.6"}:          "newer than the API server",
		{APIServer: "1.34.6"}:                          "unknown",
		{Image: "1.34.4"}:                              "unknown",
		{Image: "latest", APIServer: "1.34.6"}:         "unknown",
	} {
		text, known := decide.Skew(v)
		if known != (want != "unknown") || known && (text == "") != (want == "") || known && !strings.Contains(text, want) {
			t.Errorf("%+v: %q, known %v", v, text, known)
		}
	}
}

// Who says it stands in the text, and what only a name says is refused by nobody.
func TestRefused(t *testing.T) {
	for source, want := range map[decide.Source]string{
		"":                 "the kubelet, 1.35.0, is newer than the API server, 1.34.6",
		decide.FromSetting: "the kubelet, 1.35.0 by --vm-kubernetes-version, is newer than the API server, 1.34.6",
		decide.FromLabel:   "the kubelet, 1.35.0 by the image's label kubernetes-version, is newer than the API server, 1.34.6",
		decide.FromName:    "",
	} {
		v := decide.Versions{Image: "1.35.0", Source: source, APIServer: "1.34.6"}
		if got := v.Refused(); got != want {
			t.Errorf("%q: %q, want %q", source, got, want)
		}
		if text, _ := decide.Skew(v); !strings.Contains(text, strings.TrimSpace("1.35.0 "+string(source))) {
			t.Errorf("%q: %q", source, text)
		}
	}
}
