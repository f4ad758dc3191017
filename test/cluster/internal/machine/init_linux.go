package machine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// restartDelay is between the end of a service and its next start.
const restartDelay = time.Second

// Start reads the specification, waits until it is told to go by a byte on
// standard input, prepares the machine and runs its services. It returns only
// an error. The end of standard input before that byte ends it: whoever started
// it has died and may not have recorded it.
func Start(file string, stdin io.Reader) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var spec Spec
	if err := json.Unmarshal(content, &spec); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if _, err := io.ReadFull(stdin, make([]byte, 1)); err != nil {
		return fmt.Errorf("wait for the start: %w", err)
	}
	if os.Getpid() != 1 {
		return errors.New("it has to be the first process of a PID namespace")
	}
	logs, err := os.OpenFile(spec.Log, unix.O_PATH|syscall.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	if err := prepare(spec); err != nil {
		return err
	}
	return newSupervisor(spec.Services, logs).run()
}

// fdPath names what is open, whatever has been mounted over its path.
func fdPath(f *os.File) string { return "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) }

func prepare(spec Spec) error {
	// What is mounted from here on is the machine's own.
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	sources := make([]*os.File, len(spec.Mounts))
	for i, m := range spec.Mounts {
		if m.Type != "bind" {
			continue
		}
		var err error
		if sources[i], err = os.OpenFile(m.Source, unix.O_PATH, 0); err != nil {
			return err
		}
		defer sources[i].Close()
	}
	for i, m := range spec.Mounts {
		if err := mount(m, sources[i]); err != nil && m.Required {
			return fmt.Errorf("mount %s: %w", m.Target, err)
		}
	}
	// Volumes that are mounted in a container are seen outside, if it asks for it.
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_SHARED, ""); err != nil {
		return fmt.Errorf("share mounts: %w", err)
	}
	for name, content := range spec.Files {
		if err := write(name, content); err != nil {
			return err
		}
	}
	if spec.Hostname == "" {
		return nil
	}
	return syscall.Sethostname([]byte(spec.Hostname))
}

func mount(m Mount, source *os.File) error {
	if source == nil {
		if err := os.MkdirAll(m.Target, 0o755); err != nil {
			return err
		}
		return syscall.Mount(m.Type, m.Target, m.Type, 0, m.Options)
	}
	info, err := source.Stat()
	if err != nil {
		return err
	}
	if info.IsDir() {
		err = os.MkdirAll(m.Target, 0o755)
	} else if _, missing := os.Stat(m.Target); missing != nil {
		err = errors.Join(os.MkdirAll(filepath.Dir(m.Target), 0o755), os.WriteFile(m.Target, nil, 0o644))
	}
	if err != nil {
		return err
	}
	return syscall.Mount(fdPath(source), m.Target, "", syscall.MS_BIND|syscall.MS_REC, "")
}

// write replaces a file, or a link. Settings of the kernel can't be replaced.
func write(name, content string) error {
	if info, err := os.Lstat(name); err == nil && info.Mode()&os.ModeSymlink != 0 {
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, []byte(content), 0o644)
}
