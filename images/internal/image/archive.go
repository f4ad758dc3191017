package image

import (
	"archive/tar"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// Reference is an image's full name, as containerd knows it.
func Reference(name, tag string) string { return "docker.io/torikumi/" + name + ":" + tag }

// WriteArchive writes an image to a file, as a tar of an OCI layout: ctr images
// import gives it the name of Reference.
func WriteArchive(img Image, tag, file string, at time.Time) (err error) {
	dir, err := os.MkdirTemp(filepath.Dir(file), ".layout-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := writeLayout(img, tag, dir); err != nil {
		return err
	}
	unfinished, err := os.CreateTemp(filepath.Dir(file), ".archive-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(unfinished.Name()) }() // gone already, if all went well
	if err := errors.Join(archive(dir, unfinished, at), unfinished.Chmod(0o644), unfinished.Close()); err != nil {
		return err
	}
	return os.Rename(unfinished.Name(), file)
}

func writeLayout(img Image, tag, dir string) error {
	l, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	err = l.AppendIndex(img.Index, layout.WithAnnotations(map[string]string{
		"io.containerd.image.name":          Reference(img.Name, tag),
		"org.opencontainers.image.ref.name": tag,
	}))
	if err != nil || img.SBOM == nil {
		return err
	}
	// Unlike AppendImage, this leaves out a platform: the document is for none.
	if err := l.WriteImage(img.SBOM); err != nil {
		return err
	}
	descriptor, err := describe(img.SBOM)
	if err != nil {
		return err
	}
	return l.AppendDescriptor(descriptor)
}

func describe(sbom v1.Image) (v1.Descriptor, error) {
	digest, err := sbom.Digest()
	if err != nil {
		return v1.Descriptor{}, err
	}
	size, err := sbom.Size()
	if err != nil {
		return v1.Descriptor{}, err
	}
	mediaType, err := sbom.MediaType()
	return v1.Descriptor{MediaType: mediaType, Digest: digest, Size: size, ArtifactType: string(SBOMType)}, err
}

// archive writes all files below dir, in the order of their names.
func archive(dir string, to io.Writer, at time.Time) error {
	var names []string
	root := os.DirFS(dir)
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if entry != nil && entry.IsDir() {
			name += "/"
		}
		names = append(names, name)
		return err
	})
	if err != nil {
		return err
	}
	slices.Sort(names)
	w := tar.NewWriter(to)
	for _, name := range names {
		if name == "./" {
			continue
		}
		if strings.HasSuffix(name, "/") {
			err = w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755, ModTime: at})
		} else {
			err = archiveFile(w, filepath.Join(dir, name), name, at)
		}
		if err != nil {
			return err
		}
	}
	return w.Close()
}

func archiveFile(w *tar.Writer, file, name string, at time.Time) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: info.Size(), ModTime: at}); err != nil {
		return err
	}
	_, err = io.Copy(w, f)
	return err
}
