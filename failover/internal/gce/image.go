package gce

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"cloud.google.com/go/compute/apiv1/computepb"
)

// labelVersion is the label of an image that says which kubelet it has, with dashes:
// values of labels have no dots.
const labelVersion = "kubernetes-version"

var imagePath = regexp.MustCompile(`(?:^|/)projects/([^/]+)/global/images/(family/)?([^/]+)$`)

// ImageVersion is the version of the kubelet in an image, by the image's label, ""
// if it has none. That needs the permission compute.images.get.
func (p *Provider) ImageVersion(ctx context.Context, image string) (string, error) {
	ctx, cancel := p.bound(ctx)
	defer cancel()
	at := imagePath.FindStringSubmatch(p.image(image))
	if at == nil {
		return "", fmt.Errorf("%q is no image of a project", image)
	}
	var found *computepb.Image
	var err error
	if at[2] == "" {
		found, err = p.images.Get(ctx, &computepb.GetImageRequest{Project: at[1], Image: at[3]}, once())
	} else {
		found, err = p.images.GetFromFamily(ctx, &computepb.GetFromFamilyImageRequest{Project: at[1], Family: at[3]}, once())
	}
	if err != nil {
		return "", fmt.Errorf("read image %q: %w", image, err)
	}
	return strings.ReplaceAll(found.GetLabels()[labelVersion], "-", "."), nil
}
