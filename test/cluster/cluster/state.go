package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"torikumi/pkg/atomicfile"
)

// state is what the cluster's folder remembers. What is in it was written
// before it was made, so that Down finds it after any crash.
type state struct {
	Name string `json:"name"`
	// Index tells clusters of one machine apart, in names and networks.
	Index   int          `json:"index"`
	NodeNet netip.Prefix `json:"nodeNet"` // this cluster's
	PodNet  netip.Prefix `json:"podNet"`
	// Machines are the first processes of machines, by the machines' names.
	Machines map[string]process `json:"machines"`
	Nodes    []node             `json:"nodes"`
	Images   []string           `json:"images"`
	// Open is true if NetworkPolicies are ignored.
	Open bool `json:"open"`
	// Forwarding is what net.ipv4.ip_forward was.
	Forwarding string `json:"forwarding"`
	// Programs is the folder with those of Kubernetes.
	Programs string `json:"programs"`
	Version  string `json:"version"`
	// Ready is when Up ended well.
	Ready time.Time `json:"ready"`
}

// node is one that was made, or was going to be.
type node struct {
	NodeOptions
	// Number is the last part of its address.
	Number int `json:"number"`
	// Unplugged is true if its cable is.
	Unplugged bool `json:"unplugged,omitempty"`
}

const stateFile = "state.json"

func readState(folder string) (*state, error) {
	content, err := os.ReadFile(filepath.Join(folder, stateFile))
	if err != nil {
		return nil, err
	}
	s := new(state)
	if err := json.Unmarshal(content, s); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(folder, stateFile), err)
	}
	return s, nil
}

// save has to be called with the cluster's mutex.
func (c *Cluster) save() error {
	content, err := json.MarshalIndent(c.state, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(c.path(stateFile), content, time.Time{})
}

// change changes the state and saves it.
func (c *Cluster) change(f func(s *state)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(c.state)
	return c.save()
}

const lockFile = "lock"

// lockFolder keeps other processes from changing the cluster meanwhile, and
// waits for one that does.
func lockFolder(ctx context.Context, folder string) (unlock func(), err error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	name := filepath.Join(folder, lockFile)
	var f *os.File
	err = wait(ctx, 50*time.Millisecond, func() (err error) {
		if f, err = tryLock(name); err != nil {
			return fmt.Errorf("wait for the cluster in %s: %w", folder, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return func() { f.Close() }, nil
}

var errLocked = errors.New("another command is changing it")

func tryLock(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, errors.Join(errLocked, err)
	}
	// Who had it may have removed the cluster, with this file.
	mine, err := f.Stat()
	if now, statErr := os.Stat(name); err != nil || statErr != nil || !os.SameFile(mine, now) {
		f.Close()
		return nil, errors.Join(errLocked, err, statErr)
	}
	return f, nil
}

// ErrNoCluster says that there is no cluster in the folder.
var ErrNoCluster = errors.New("there is no cluster")

func loadState(folder string) (*state, error) {
	s, err := readState(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", folder, ErrNoCluster)
	}
	return s, err
}
