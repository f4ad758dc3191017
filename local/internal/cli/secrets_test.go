package cli

import (
	"encoding/json"
	"slices"
	"testing"
)

// What docs/deploy.md pipes into kubectl is the objects that it promises.
func TestSecrets(t *testing.T) {
	for _, c := range []struct {
		args, want []string
	}{
		{[]string{"secrets", "--algorithm=ES256", "--namespaces", "--allocator=false"}, []string{"Namespace/torikumi", "Secret/frontend-join-keys"}},
		{[]string{"secrets", "--algorithm=ES256"}, []string{
			"Secret/frontend-join-keys", "Secret/allocator-client", "Secret/allocator-tls", "Secret/allocator-tls-ca", "Secret/allocator-client-ca",
		}},
	} {
		code, out, errs := call(t.Context(), c.args...)
		var list struct {
			Items []struct {
				Kind     string
				Metadata struct{ Name string }
			}
		}
		if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 {
			t.Fatalf("%v: %d %s %v", c.args, code, errs, err)
		}
		var got []string
		for _, o := range list.Items {
			got = append(got, o.Kind+"/"+o.Metadata.Name)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%v prints %q, want %q", c.args, got, c.want)
		}
	}
	if code, _, _ := call(t.Context(), "secrets", "--validity=1m"); code != exitUsage {
		t.Errorf("certificates for a minute: %d", code)
	}
}
