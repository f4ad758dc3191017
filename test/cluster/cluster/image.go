package cluster

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/google/go-containerregistry/pkg/compression"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/sync/errgroup"
)

// The images that the cluster itself needs. No registry has them.
const (
	pauseImage   = "docker.io/torikumi/cluster-pause:dev"
	corednsImage = "docker.io/torikumi/cluster-coredns:dev"
)

// makeImages writes them to files.
func (c *Cluster) makeImages() error {
	if err := os.MkdirAll(c.path("images"), 0o755); err != nil {
		return err
	}
	for image, program := range map[string]string{pauseImage: "pause", corednsImage: "coredns"} {
		if err := writeImage(c.imageTar(program), image, c.path("bin", program)); err != nil {
			return fmt.Errorf("make the image of %s: %w", program, err)
		}
	}
	return nil
}

func (c *Cluster) imageTar(program string) string { return c.path("images", program+".tar") }

// writeImage makes the tar of an image that has one static program.
func writeImage(file, reference, program string) error {
	ref, err := name.NewTag(reference)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	base := filepath.Base(program)
	var files bytes.Buffer
	w := tar.NewWriter(&files)
	err = w.WriteHeader(&tar.Header{Name: base, Mode: 0o755, Size: int64(len(content)), Format: tar.FormatPAX})
	if err == nil {
		_, err = w.Write(content)
	}
	if err := errors.Join(err, w.Close()); err != nil {
		return err
	}
	// It is read once, on this machine: to compress it would take longer.
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(files.Bytes())), nil
	}, tarball.WithCompression(compression.None))
	if err != nil {
		return err
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config = v1.Config{Entrypoint: []string{"/" + base}, User: "65532:65532"}
	if image, err = mutate.ConfigFile(image, config); err != nil {
		return err
	}
	return tarball.WriteToFile(file, ref, image)
}

// LoadImage imports the image in a tar (of an OCI layout or of docker save)
// into nodes, into all that run if none are named. Nodes that are added later
// do not get it.
func (c *Cluster) LoadImage(ctx context.Context, file string, nodes ...string) error {
	if len(nodes) == 0 {
		for _, n := range c.Nodes() {
			if n.Power {
				nodes = append(nodes, n.Name)
			}
		}
	}
	if len(nodes) == 0 {
		return errors.New("no node runs")
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, name := range nodes {
		g.Go(func() error { return c.importImage(ctx, name, file) })
	}
	return g.Wait()
}

func (c *Cluster) importImage(ctx context.Context, name, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	cmd, err := c.Command(ctx, name, "ctr", "--namespace", "k8s.io", "images", "import", "-")
	if err != nil {
		return err
	}
	cmd.Stdin = f
	if _, err := output(cmd); err != nil {
		return fmt.Errorf("load %s into %s: %w", file, name, err)
	}
	return nil
}
