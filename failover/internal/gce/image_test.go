package gce_test

import (
	"testing"

	"torikumi/failover/internal/gce/fake"
)

func TestImageVersion(t *testing.T) {
	r := newHarness(t, fake.Options{
		Images: []string{"node", "bare"}, Labels: map[string]map[string]string{"node": {"kubernetes-version": "1-34-4"}},
	})
	for image, want := range map[string]string{
		"node": "1.34.4", "family/node": "1.34.4", "bare": "",
		"projects/studio-games/global/images/node":                                              "1.34.4",
		"https://www.googleapis.com/compute/v1/projects/studio-games/global/images/family/node": "1.34.4",
	} {
		if got, err := r.ImageVersion(t.Context(), image); err != nil || got != want {
			t.Errorf("%s: %q, %v", image, got, err)
		}
	}
	for _, image := range []string{"none", "projects/other/global/images/node", "disks/x/y"} {
		if got, err := r.ImageVersion(t.Context(), image); err == nil || got != "" {
			t.Errorf("%s: %q", image, got)
		}
	}
	r.fake.Inject(fake.Fault{Call: fake.ImagesGet, Reply: fake.Unavailable()})
	if _, err := r.ImageVersion(t.Context(), "node"); err == nil {
		t.Error("no error without an answer")
	}
	if n := r.fake.Count(fake.ImagesGet); n > 20 {
		t.Errorf("%d calls: it is asked again and again", n)
	}
}
