package kubernetes

import (
	"encoding/json"
	"errors"
	"testing"

	"torikumi/director/internal/review"
)

func TestIdentity(t *testing.T) {
	const good = `{"authenticated": true, "audiences": ["torikumi-director"], "user": {"username": "system:serviceaccount:games:agones-sdk",
		"extra": {"authentication.kubernetes.io/pod-name": ["gs-1"], "authentication.kubernetes.io/pod-uid": ["u"]}}}`
	for name, c := range map[string]struct {
		status string
		want   review.Identity
	}{
		"a pod's":          {good, review.Identity{Namespace: "games", Name: "gs-1"}},
		"nothing":          {`{}`, review.Identity{}},
		"not good":         {`{"authenticated": false, "error": "expired"}`, review.Identity{}},
		"without audience": {`{"authenticated": true, "user": {"username": "system:serviceaccount:games:x", "extra": {"authentication.kubernetes.io/pod-name": ["gs-1"]}}}`, review.Identity{}},
		"for another":      {`{"authenticated": true, "audiences": ["https://kubernetes.default.svc"], "user": {"username": "system:serviceaccount:games:x", "extra": {"authentication.kubernetes.io/pod-name": ["gs-1"]}}}`, review.Identity{}},
		"of no pod":        {`{"authenticated": true, "audiences": ["torikumi-director"], "user": {"username": "system:serviceaccount:games:x"}}`, review.Identity{}},
		"of two pods":      {`{"authenticated": true, "audiences": ["torikumi-director"], "user": {"username": "system:serviceaccount:games:x", "extra": {"authentication.kubernetes.io/pod-name": ["a", "b"]}}}`, review.Identity{}},
		"of a user":        {`{"authenticated": true, "audiences": ["torikumi-director"], "user": {"username": "games:x", "extra": {"authentication.kubernetes.io/pod-name": ["gs-1"]}}}`, review.Identity{}},
		"of no namespace":  {`{"authenticated": true, "audiences": ["torikumi-director"], "user": {"username": "system:serviceaccount::x", "extra": {"authentication.kubernetes.io/pod-name": ["gs-1"]}}}`, review.Identity{}},
	} {
		var s reviewStatus
		if err := json.Unmarshal([]byte(c.status), &s); err != nil {
			t.Fatal(name, err)
		}
		got, err := identity(s)
		if refused := c.want == (review.Identity{}); got != c.want || errors.Is(err, review.ErrRefused) != refused || (err != nil) != refused {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}
