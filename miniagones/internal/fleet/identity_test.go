package fleet_test

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/miniagones/internal/conformance"
	"torikumi/miniagones/internal/fleet"
	sdkpb "torikumi/proto/agones/sdk"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// A gate's token names its server for as long as the gate runs, and the game server's
// program does not get it.
func TestReviewToken(t *testing.T) {
	specs := make(chan fleet.Spec, 16)
	r := run(t, fleet.Options{
		Ready: 2, Max: 2, Backend: children(t, conformance.ModeServe),
		Sidecar: func(_ context.Context, s fleet.Spec) ([]string, func(), error) {
			specs <- s
			return nil, nil, nil
		},
		Env: func(s fleet.Spec) []string {
			if s.GateToken != "" {
				t.Error("more than the sidecar gets the token")
			}
			return nil
		},
	})
	waitReady(t, r, 2)
	servers := clients(r).servers
	review := func(token string) (*torikumiv1.ReviewTokenResponse, codes.Code) {
		resp, err := servers.ReviewToken(t.Context(), &torikumiv1.ReviewTokenRequest{Token: token})
		return resp, status.Code(err)
	}
	first, second := <-specs, <-specs
	if first.GateToken == second.GateToken || len(first.GateToken) < 20 {
		t.Fatalf("tokens of %d and %d characters", len(first.GateToken), len(second.GateToken))
	}
	if strings.Contains(strings.Join(first.Env, "\n"), first.GateToken) {
		t.Error("the token is in the server's environment")
	}
	for _, spec := range []fleet.Spec{first, second} {
		if got, code := review(spec.GateToken); code != codes.OK || got.GetName() != spec.Name || got.GetNamespace() != "default" {
			t.Errorf("token of %s: %v, %v", spec.Name, got, code)
		}
	}
	for _, wrong := range []string{"", "x", first.GateToken[1:], strings.ToLower(first.GateToken)} {
		if _, code := review(wrong); code != codes.Unauthenticated {
			t.Errorf("%q: %v, want Unauthenticated", wrong, code)
		}
	}
	sub := r.Subscribe()
	defer sub.Close()
	if _, err := servers.DeleteGameServer(t.Context(), &torikumiv1.DeleteGameServerRequest{Namespace: "default", Name: first.Name, Uid: first.UID}); err != nil {
		t.Fatal(err)
	}
	follow(t, sub, "gone", func(e fleet.Event) bool { return e.Gone && e.Server.Name == first.Name })
	if _, code := review(first.GateToken); code != codes.Unauthenticated {
		t.Errorf("after the server's end: %v, want Unauthenticated", code)
	}
	if _, code := review(second.GateToken); code != codes.OK {
		t.Errorf("of the other server: %v", code)
	}
}

// TestAnnotationReachesSDK: the gate sees a roster that a director has changed.
func TestAnnotationReachesSDK(t *testing.T) {
	r, spec, sdk := mute(t, fleet.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := sdk.WatchGameServer(ctx, &sdkpb.Empty{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	resp, err := clients(r).servers.AnnotateGameServer(t.Context(), &torikumiv1.AnnotateGameServerRequest{
		Namespace: spec.Namespace, Name: spec.Name, Uid: spec.UID, Annotations: map[string]string{"torikumi/roster": "{}"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for {
		seen, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		meta := seen.GetObjectMeta()
		if meta.GetAnnotations()["torikumi/roster"] == "{}" {
			if meta.GetResourceVersion() != resp.GetGameServer().GetResourceVersion() {
				t.Errorf("version %s, the answer said %s", meta.GetResourceVersion(), resp.GetGameServer().GetResourceVersion())
			}
			return
		}
	}
}
