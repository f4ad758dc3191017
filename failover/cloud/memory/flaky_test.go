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

// flaky lets every second call of each method fail before it has an effect. The
// methods are counted apart: the controller calls Get before Create, so that with one
// counter every Create could be a second call.
type flaky struct {
	inner                     cloud.Provider
	create, get, list, delete atomic.Int64
}

var _ cloud.Provider = (*flaky)(nil)

func second(calls *atomic.Int64) error {
	if calls.Add(1)%2 == 0 {
		return errFlaky
	}
	return nil
}

func (f *flaky) Create(ctx context.Context, s cloud.Spec) error {
	if err := second(&f.create); err != nil {
		return err
	}
	return f.inner.Create(ctx, s)
}

func (f *flaky) Get(ctx context.Context, r cloud.Ref, o cloud.Owner) (cloud.Instance, error) {
	if err := second(&f.get); err != nil {
		return cloud.Instance{}, err
	}
	return f.inner.Get(ctx, r, o)
}

func (f *flaky) List(ctx context.Context, cluster string) ([]cloud.Instance, error) {
	if err := second(&f.list); err != nil {
		return nil, err
	}
	return f.inner.List(ctx, cluster)
}

func (f *flaky) Delete(ctx context.Context, r cloud.Ref, o cloud.Owner) error {
	if err := second(&f.delete); err != nil {
		return err
	}
	return f.inner.Delete(ctx, r, o)
}

// patient repeats a call that flaky has let fail, as the controller would.
type patient struct{ inner cloud.Provider }

func again(call func() error) error {
	err := call()
	for errors.Is(err, errFlaky) {
		err = call()
	}
	return err
}

func (p patient) Create(ctx context.Context, s cloud.Spec) error {
	return again(func() error { return p.inner.Create(ctx, s) })
}

func (p patient) Get(ctx context.Context, r cloud.Ref, o cloud.Owner) (i cloud.Instance, err error) {
	err = again(func() error { i, err = p.inner.Get(ctx, r, o); return err })
	return i, err
}

func (p patient) List(ctx context.Context, cluster string) (all []cloud.Instance, err error) {
	err = again(func() error { all, err = p.inner.List(ctx, cluster); return err })
	return all, err
}

func (p patient) Delete(ctx context.Context, r cloud.Ref, o cloud.Owner) error {
	return again(func() error { return p.inner.Delete(ctx, r, o) })
}

// TestFlaky is the example of docs/extend/cloud-provider.md.
func TestFlaky(t *testing.T) {
	cloudtest.Run(t, func(*testing.T) cloudtest.Env {
		m := memory.New()
		e := env(m)
		e.Provider = patient{&flaky{inner: m}}
		return e
	})
}
