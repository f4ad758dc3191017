package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"torikumi/images/internal/image"
)

// writeDigests writes a line "REFERENCE DIGEST" for each image. It keeps the
// lines of images that were made before and are still beside it.
func writeDigests(file, tag string, all []image.Image) error {
	lines := make(map[string]string) // by name
	before, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for line := range strings.Lines(string(before)) {
		reference, _, _ := strings.Cut(line, " ")
		name := strings.TrimPrefix(reference[:max(0, strings.LastIndex(reference, ":"))], "docker.io/torikumi/")
		if _, err := os.Stat(filepath.Join(filepath.Dir(file), name+".tar")); err == nil {
			lines[name] = line
		}
	}
	for _, img := range all {
		digest, err := img.Index.Digest()
		if err != nil {
			return err
		}
		lines[img.Name] = image.Reference(img.Name, tag) + " " + digest.String() + "\n"
	}
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		text.WriteString(lines[name])
	}
	return os.WriteFile(file, []byte(text.String()), 0o644)
}

// report prints a table of sizes and digests.
func report(to io.Writer, all []image.Image) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "IMAGE\tCOMPRESSED\tDIGEST")
	for _, img := range all {
		var sizes []string
		for _, arch := range slices.Sorted(maps.Keys(img.Sizes)) {
			sizes = append(sizes, fmt.Sprintf("%s %.1f MB", arch, float64(img.Sizes[arch])/1e6))
		}
		digest, err := img.Index.Digest()
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", img.Name, strings.Join(sizes, ", "), digest)
	}
	return w.Flush()
}
