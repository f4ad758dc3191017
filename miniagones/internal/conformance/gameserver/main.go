// Command gameserver is the game server of the conformance tests as a program, for
// pods. `CGO_ENABLED=0 go run ./miniagones/internal/conformance/gameserver image
// FILE` writes an image of itself, torikumi/conformance:dev, for `ctr images import`.
package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"runtime"

	"torikumi/miniagones/internal/conformance"
)

func main() {
	if code, child := conformance.Child(); child {
		os.Exit(code)
	}
	if len(os.Args) != 3 || os.Args[1] != "image" {
		fmt.Fprintf(os.Stderr, "usage: %s=MODE gameserver, or gameserver image FILE\n", conformance.ModeVariable)
		os.Exit(2)
	}
	if err := image(os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "gameserver image:", err)
		os.Exit(1)
	}
}

// image writes an archive as `docker save` does, with this program as the only
// file.
func image(file string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	program, err := os.ReadFile(self)
	if err != nil {
		return err
	}
	layer, err := archive([]entry{{"gameserver", 0o755, program}})
	if err != nil {
		return err
	}
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"Entrypoint": []string{"/gameserver"}, "User": "65532:65532"},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))}},
	})
	if err != nil {
		return err
	}
	manifest, err := json.Marshal([]map[string]any{
		{"Config": "config.json", "RepoTags": []string{"torikumi/conformance:dev"}, "Layers": []string{"layer.tar"}},
	})
	if err != nil {
		return err
	}
	whole, err := archive([]entry{{"layer.tar", 0o644, layer}, {"config.json", 0o644, config}, {"manifest.json", 0o644, manifest}})
	if err != nil {
		return err
	}
	return os.WriteFile(file, whole, 0o644)
}

type entry struct {
	name    string
	mode    int64
	content []byte
}

func archive(entries []entry) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		if err := w.WriteHeader(&tar.Header{Name: e.name, Mode: e.mode, Size: int64(len(e.content)), Typeflag: tar.TypeReg}); err != nil {
			return nil, err
		}
		if _, err := w.Write(e.content); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return out.Bytes(), err
}
