package memory_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"torikumi/failover/cloud"
	"torikumi/failover/cloud/cloudtest"
	"torikumi/failover/cloud/memory"
)

var errFlaky = errors.New("every second call fails")

// flaky lets every second call of a provider fail before it has an effect.
type flaky struct {
	cloud.Provider
	calls atomic.Int64
}

func (f *flaky) fails() error {
	if f.calls.Add(1)%2 == 0 {
		return errFlaky
	}
	return nil
}

func (f *flaky) Create(ctx context.Context, s cloud.Spec) error {
	if err := f.fails(); err != nil {
		return err
	}
	return f.Provider.Create(ctx, s)
}

func (f *flaky) Get(ctx context.Context, r cloud.Ref, o cloud.Owner) (cloud.Instance, error) {
	if err := f.fails(); err != nil {
		return cloud.Instance{}, err
	}
	return f.Provider.Get(ctx, r, o)
}

func (f *flaky) List(ctx context.Context, cluster string) ([]cloud.Instance, error) {
	if err := f.fails(); err != nil {
		return nil, err
	}
	return f.Provider.List(ctx, cluster)
}

func (f *flaky) Delete(ctx context.Context, r cloud.Ref, o cloud.Owner) error {
	if err := f.fails(); err != nil {
		return err
	}
	return f.Provider.Delete(ctx, r, o)
}

// patient repeats a call that has failed by flaky's doing, as the controller
// would.
type patient struct{ cloud.Provider }

func again(call func() error) error {
	err := call()
	for errors.Is(err, errFlaky) {
		err = call()
	}
	return err
}

func (p patient) Create(ctx context.Context, s cloud.Spec) error {
	return again(func() error { return p.Provider.Create(ctx, s) })
}

func (p patient) Get(ctx context.Context, r cloud.Ref, o cloud.Owner) (i cloud.Instance, err error) {
	err = again(func() error { i, err = p.Provider.Get(ctx, r, o); return err })
	return i, err
}

func (p patient) List(ctx context.Context, cluster string) (all []cloud.Instance, err error) {
	err = again(func() error { all, err = p.Provider.List(ctx, cluster); return err })
	return all, err
}

func (p patient) Delete(ctx context.Context, r cloud.Ref, o cloud.Owner) error {
	return again(func() error { return p.Provider.Delete(ctx, r, o) })
}

// TestFlaky is the example of docs/extend/cloud-provider.md.
func TestFlaky(t *testing.T) {
	cloudtest.Run(t, func(*testing.T) cloudtest.Env {
		m := memory.New()
		return cloudtest.Env{Provider: patient{&flaky{Provider: m}}, Zones: m.Zones, Live: m.Live, Stop: m.Stop, Vanish: m.Vanish}
	})
}
