package cli

import (
	"testing"

	"torikumi/images/internal/image"
)

func TestCheckSize(t *testing.T) {
	img := image.Image{Name: "gate", Sizes: map[string]int64{"amd64": 100, "arm64": 101}}
	if err := checkSize(img, 101); err != nil {
		t.Error(err)
	}
	if err := checkSize(img, 100); err == nil || err.Error() != "the image of gate for arm64 has 101 bytes compressed, at most 100 are allowed" {
		t.Error(err)
	}
}
