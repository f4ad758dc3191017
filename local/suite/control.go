package suite

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"torikumi/miniagones/miniagones"
	"torikumi/pkg/service"
)

func (s *Suite) launch(ctx context.Context, name string, args ...string) error {
	args = append(args, "--log-level="+s.opts.Log.LogLevel.String(), "--log-format="+s.opts.Log.LogFormat,
		"--shutdown-timeout="+s.opts.Log.ShutdownTimeout.String())
	inst, err := s.opts.Launcher.Launch(ctx, name, args)
	if err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	s.mu.Lock()
	s.args[name] = args
	s.mu.Unlock()
	s.add(name, inst)
	return nil
}

// add remembers a part, to stop it in the end, and notices when it fails.
func (s *Suite) add(name string, inst Instance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.instances[name] = inst
	s.order = append(s.order, inst)
	go func() {
		<-inst.Done()
		if err := inst.Err(); err != nil {
			select {
			case s.failed <- fmt.Errorf("%s: %w", name, err):
			default: // the first ones are enough
			}
		}
	}()
}

// Addr returns the addresses of a service.
func (s *Suite) Addr(name string) service.Addrs {
	s.mu.Lock()
	defer s.mu.Unlock()
	if inst, ok := s.instances[name]; ok {
		return inst.Addrs()
	}
	return service.Addrs{}
}

// URL is the base of the player API.
func (s *Suite) URL() string { return "http://" + s.Addr(Frontend).HTTP }

// IssuerURL is the base of the development issuer's API.
func (s *Suite) IssuerURL() string { return "http://" + s.issuerAddr }

// KeysDir holds the keys that join tokens are signed with.
func (s *Suite) KeysDir() string { return s.keysDir("join") }

// PlayerKeysDir holds the keys of the development issuer.
func (s *Suite) PlayerKeysDir() string { return s.keysDir("player") }

// Fleet is the fleet of game servers.
func (s *Suite) Fleet() *miniagones.Fleet { return s.fleet }

// Failed delivers the errors of parts that have ended by themselves with an error.
func (s *Suite) Failed() <-chan error { return s.failed }

// Instance returns the running instance of a service, to kill it in a test.
func (s *Suite) Instance(name string) Instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.instances[name]
}

// Restart starts a service anew, on the addresses that it had, after it has
// ended; it is stopped first if it has not.
func (s *Suite) Restart(ctx context.Context, name string) error {
	old := s.Instance(name)
	if old == nil {
		return fmt.Errorf("no service %q", name)
	}
	old.Stop()
	s.mu.Lock()
	args := pinned(s.args[name], old.Addrs())
	s.order = slices.DeleteFunc(s.order, func(i Instance) bool { return i == old })
	s.mu.Unlock()
	inst, err := s.opts.Launcher.Launch(ctx, name, args)
	if err != nil {
		return fmt.Errorf("restart %s: %w", name, err)
	}
	s.add(name, inst)
	return nil
}

// pinned lets the arguments name the addresses that the service got; a later
// argument beats an earlier one.
func pinned(args []string, addrs service.Addrs) []string {
	args = slices.Clone(args)
	if len(addrs.GRPCAll) == 1 {
		args = append(args, "--grpc-listen="+addrs.GRPC)
	}
	return append(args, "--http-listen="+addrs.HTTP)
}

// Stop ends everything, in the reverse of the order in which it started, and
// returns when no process, port or file is left.
func (s *Suite) Stop() error {
	var errs []error
	if s.stopWatch != nil {
		s.stopWatch()
	}
	if s.stopFleet != nil {
		s.stopFleet()
		if err := <-s.fleetDone; err != nil && !errors.Is(err, context.Canceled) {
			errs = append(errs, fmt.Errorf("stop the fleet: %w", err))
		}
	}
	s.mu.Lock()
	order := slices.Clone(s.order)
	s.mu.Unlock()
	for _, inst := range slices.Backward(order) {
		inst.Stop()
		if err := inst.Err(); err != nil {
			errs = append(errs, err)
		}
	}
	if err := s.release(); err != nil {
		errs = append(errs, fmt.Errorf("remove the keys: %w", err))
	}
	return errors.Join(errs...)
}
