// Package cli is the command images.
package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"torikumi/images/internal/build"
	"torikumi/images/internal/image"
	"torikumi/images/internal/sbom"
	"torikumi/pkg/config"
	"torikumi/pkg/service"
)

const name = "images"

// base is the image without a program.
const base = "base"

// Config holds the settings of the command.
type Config struct {
	Tag    string   `flag:"tag" default:"dev" help:"Tag of the images."`
	Arch   []string `flag:"arch" default:"amd64,arm64" rule:"amd64 or arm64" help:"Architectures, comma-separated."`
	Images []string `flag:"images" help:"Names of the images, comma-separated; empty is one for each service. base is one without a program."`
	Output string   `flag:"output" default:"bin/images" help:"Folder for NAME.tar, NAME.spdx.json and digests.txt."`
	Source string   `flag:"source" default:"." help:"The repository's root."`

	Push      string `flag:"push" help:"Registry to push to, as host[:port]/path: images are host:port/path/NAME:TAG. Empty: none."`
	PlainHTTP bool   `flag:"plain-http" help:"Allow a registry without TLS. One on this machine needs it not."`
}

// Main reads the settings and makes the images.
func Main(ctx context.Context, p service.Process) int {
	cfg := new(Config)
	if code, ok := p.Load(name, "IMAGES_", cfg); !ok {
		return code
	}
	if err := run(ctx, cfg, p); err != nil {
		return p.Fail(name, err)
	}
	return 0
}

// Validate reports which settings are wrong.
func (c *Config) Validate() error {
	var errs []error
	if !validTag(c.Tag) {
		errs = append(errs, config.Invalid("tag", "must be up to 128 letters, digits, dots, dashes and underscores, and not begin with a dot or a dash", c.Tag))
	}
	if len(c.Arch) == 0 {
		errs = append(errs, config.Missing("arch", "an image is for at least one"))
	}
	if _, err := build.Select(c.programs()); err != nil {
		errs = append(errs, config.Invalid("images", err.Error(), strings.Join(c.Images, ",")))
	}
	if c.Push != "" {
		if _, err := c.registry().Repository(base); err != nil || strings.Contains(c.Push, "//") {
			errs = append(errs, config.Invalid("push", "must be host[:port]/path", c.Push))
		}
	}
	return errors.Join(errs...)
}

func (c *Config) registry() image.Registry {
	return image.Registry{Prefix: c.Push, PlainHTTP: c.PlainHTTP}
}

// programs are the images that have one.
func (c *Config) programs() []string {
	return slices.DeleteFunc(slices.Clone(c.Images), func(name string) bool { return name == base })
}

func validTag(tag string) bool {
	const others = "._-"
	for i, r := range tag {
		word := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_'
		if !word && (i == 0 || !strings.ContainsRune(others, r)) {
			return false
		}
	}
	return tag != "" && len(tag) <= 128
}

func run(ctx context.Context, cfg *Config, p service.Process) error {
	stamp, err := build.ReadStamp(ctx, cfg.Source, p.Getenv("SOURCE_DATE_EPOCH"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(cfg.Output, 0o755); err != nil {
		return err
	}
	all, err := makeAll(ctx, cfg, stamp)
	if err != nil {
		return err
	}
	for _, img := range all {
		file := filepath.Join(cfg.Output, img.Name+".tar")
		if err := image.WriteArchive(img, cfg.Tag, file, stamp.Time); err != nil {
			return fmt.Errorf("write %s: %w", file, err)
		}
	}
	if err := writeDigests(filepath.Join(cfg.Output, "digests.txt"), cfg.Tag, all); err != nil {
		return err
	}
	if err := report(p.Stdout, all); err != nil || cfg.Push == "" {
		return err
	}
	for _, img := range all {
		pushed, err := cfg.registry().Push(ctx, img, cfg.Tag)
		if err != nil {
			return fmt.Errorf("push %s: %w", img.Name, err)
		}
		fmt.Fprintln(p.Stdout, "pushed", pushed)
	}
	return nil
}

// makeAll makes the images that are asked for. SBOMs are written on the way.
func makeAll(ctx context.Context, cfg *Config, stamp build.Stamp) (all []image.Image, err error) {
	builder, err := image.NewBuilder(stamp)
	if err != nil {
		return nil, err
	}
	if slices.Contains(cfg.Images, base) {
		img, err := builder.Build(base, cfg.Arch, nil)
		if err != nil {
			return nil, err
		}
		all = append(all, img)
		if len(cfg.programs()) == 0 {
			return all, nil
		}
	}
	programs, err := build.Select(cfg.programs())
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "torikumi-images-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	files, err := compile(ctx, cfg, dir, programs, stamp)
	if err != nil {
		return nil, err
	}
	roots, err := build.ModuleVersion(ctx, cfg.Source, sbom.Roots)
	if err != nil {
		return nil, err
	}
	for _, program := range programs {
		img, err := builder.Build(program.Name, cfg.Arch, files[program.Name])
		if err == nil {
			err = checkSize(img, program.Limit)
		}
		if err == nil {
			err = attach(builder, &img, files[program.Name], cfg, stamp, roots)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, img)
	}
	return all, nil
}

// compile returns the files of programs by name and architecture.
func compile(ctx context.Context, cfg *Config, dir string, programs []build.Program, stamp build.Stamp) (map[string]map[string]string, error) {
	files := make(map[string]map[string]string)
	for _, arch := range cfg.Arch {
		built, err := build.Compile(ctx, cfg.Source, dir, arch, programs, stamp)
		if err != nil {
			return nil, err
		}
		for name, file := range built {
			if files[name] == nil {
				files[name] = make(map[string]string)
			}
			files[name][arch] = file
		}
	}
	return files, nil
}

// attach adds the SBOM to an image, and writes it beside the image's file.
func attach(builder *image.Builder, img *image.Image, files map[string]string, cfg *Config, stamp build.Stamp, roots string) error {
	document, err := sbom.Document(img.Name, files, stamp, roots)
	if err != nil {
		return fmt.Errorf("SBOM of %s: %w", img.Name, err)
	}
	if err := builder.Attach(img, document); err != nil {
		return fmt.Errorf("SBOM of %s: %w", img.Name, err)
	}
	return os.WriteFile(filepath.Join(cfg.Output, img.Name+".spdx.json"), document, 0o644)
}

func checkSize(img image.Image, limit int64) error {
	for arch, size := range img.Sizes {
		if size > limit {
			return fmt.Errorf("the image of %s for %s has %d bytes compressed, at most %d are allowed", img.Name, arch, size, limit)
		}
	}
	return nil
}
