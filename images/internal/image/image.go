package image

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"torikumi/images/internal/build"
)

// SBOMType is the media type of an SPDX document.
const SBOMType types.MediaType = "application/spdx+json"

// Image is one for several architectures.
type Image struct {
	Name  string
	Index v1.ImageIndex
	// Sizes are the bytes of an architecture's layers, compressed.
	Sizes map[string]int64
	// SBOM is a manifest that points at the index and holds an SPDX document;
	// nil: there is none.
	SBOM v1.Image
}

// Builder makes images of one commit.
type Builder struct {
	stamp build.Stamp
	base  v1.Layer
}

// NewBuilder makes the base.
func NewBuilder(stamp build.Stamp) (*Builder, error) {
	base, err := layer(baseFiles(), stamp.Time)
	if err != nil {
		return nil, fmt.Errorf("make the base: %w", err)
	}
	return &Builder{stamp, base}, nil
}

// Build makes the image of a program from its files by architecture. A name
// without files is the base alone, for builders that bring their program.
func (b *Builder) Build(name string, archs []string, files map[string]string) (Image, error) {
	img := Image{Name: name, Sizes: make(map[string]int64)}
	notes := b.annotations(name)
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range slices.Sorted(slices.Values(archs)) {
		one, err := b.one(name, arch, files[arch], notes)
		if err != nil {
			return Image{}, fmt.Errorf("%s for %s: %w", name, arch, err)
		}
		if img.Sizes[arch], err = compressed(one); err != nil {
			return Image{}, err
		}
		platform := &v1.Platform{OS: "linux", Architecture: arch}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: one, Descriptor: v1.Descriptor{Platform: platform}})
	}
	img.Index = mutate.Annotations(index, notes).(v1.ImageIndex)
	return img, nil
}

func (b *Builder) one(name, arch, program string, notes map[string]string) (v1.Image, error) {
	layers := []v1.Layer{b.base}
	config := v1.Config{User: User, WorkingDir: "/", Labels: notes}
	if program != "" {
		content, err := os.ReadFile(program)
		if err != nil {
			return nil, err
		}
		own, err := layer([]file{{name: name, mode: 0o755, content: content}}, b.stamp.Time)
		if err != nil {
			return nil, err
		}
		layers = append(layers, own)
		config.Entrypoint = []string{"/" + name}
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	at := v1.Time{Time: b.stamp.Time}
	img, err := mutate.ConfigFile(img, &v1.ConfigFile{OS: "linux", Architecture: arch, Created: at, Config: config, RootFS: v1.RootFS{Type: "layers"}})
	if err != nil {
		return nil, err
	}
	for i, l := range layers {
		created := [...]string{"base", name}[i]
		img, err = mutate.Append(img, mutate.Addendum{Layer: l, History: v1.History{Created: at, CreatedBy: "images: " + created}})
		if err != nil {
			return nil, err
		}
	}
	return mutate.Annotations(img, notes).(v1.Image), nil
}

func (b *Builder) annotations(name string) map[string]string {
	return map[string]string{
		"org.opencontainers.image.created":  b.stamp.Time.Format(time.RFC3339),
		"org.opencontainers.image.licenses": "Apache-2.0",
		"org.opencontainers.image.revision": b.stamp.Revision,
		"org.opencontainers.image.title":    "torikumi/" + name,
		"org.opencontainers.image.version":  b.stamp.Tag,
	}
}

// Attach adds an SPDX document to an image.
func (b *Builder) Attach(img *Image, document []byte) error {
	digest, err := img.Index.Digest()
	if err != nil {
		return err
	}
	size, err := img.Index.Size()
	if err != nil {
		return err
	}
	artifact := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), SBOMType)
	artifact, err = mutate.Append(artifact, mutate.Addendum{Layer: static.NewLayer(document, SBOMType)})
	if err != nil {
		return err
	}
	notes := maps.Clone(b.annotations(img.Name))
	notes["org.opencontainers.image.title"] = img.Name + ".spdx.json"
	artifact = mutate.Annotations(artifact, notes).(v1.Image)
	img.SBOM = mutate.Subject(artifact, v1.Descriptor{MediaType: types.OCIImageIndex, Digest: digest, Size: size}).(v1.Image)
	return nil
}

func compressed(img v1.Image) (sum int64, err error) {
	layers, err := img.Layers()
	if err != nil {
		return 0, err
	}
	for _, l := range layers {
		n, err := l.Size()
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}
