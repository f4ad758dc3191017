package build

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Flags are those of go build, as .ko.yaml has them too.
func Flags() []string { return []string{"-trimpath"} }

// LinkFlags are those of the linker, as .ko.yaml has them too.
func LinkFlags(s Stamp) []string {
	return []string{"-s", "-w", "-X torikumi/pkg/version.tag=" + s.Tag, "-X torikumi/pkg/version.revision=" + s.Revision}
}

// Environment is what could change the bytes otherwise, as .ko.yaml has it too.
// grpcnotrace leaves out gRPC's old tracing pages, whose templates can call any
// method by its name, so that the linker has to keep every method there is: a fifth
// of each image. Both flags are here as ko under skaffold drops those of .ko.yaml.
func Environment() []string {
	return []string{"CGO_ENABLED=0", "GOFLAGS=-buildvcs=false -tags=grpcnotrace", "GOEXPERIMENT=", "GOAMD64=v1", "GOARM64=v8.0", "GOFIPS140=off", "GOWORK="}
}

// Compile builds programs for linux and an architecture in one call of go
// build, and returns the file of each by its name. They are below dir.
func Compile(ctx context.Context, source, dir, arch string, programs []Program, s Stamp) (map[string]string, error) {
	dir, err := filepath.Abs(filepath.Join(dir, arch))
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	args := append([]string{"build"}, Flags()...)
	args = append(args, "-ldflags="+strings.Join(LinkFlags(s), " "), "-o", dir+string(filepath.Separator))
	files := make(map[string]string, len(programs))
	for _, p := range programs {
		args = append(args, "./"+p.Package)
		files[p.Name] = filepath.Join(dir, path.Base(p.Package))
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = source, slices.Concat(os.Environ(), Environment(), []string{"GOOS=linux", "GOARCH=" + arch})
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("go build for %s: %w\n%s", arch, err, &output)
	}
	for name, file := range files {
		if err := checkMachine(file, arch); err != nil {
			return nil, fmt.Errorf("the program of %s: %w", name, err)
		}
	}
	return files, nil
}

// machines are how ELF calls the architectures.
var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// checkMachine reports whether a program is for an architecture.
func checkMachine(file, arch string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	program, err := elf.NewFile(f)
	if err != nil {
		return err
	}
	if want := machines[arch]; program.Machine != want {
		return fmt.Errorf("it is for %s, not for %s", program.Machine, want)
	}
	return nil
}

// ModuleVersion is the version of a Go module that source is built with.
func ModuleVersion(ctx context.Context, source, module string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f={{.Version}}", module)
	cmd.Dir = source
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("the version of %s: %w", module, err)
	}
	return strings.TrimSpace(string(out)), nil
}
