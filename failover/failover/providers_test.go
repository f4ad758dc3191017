package failover_test

import (
	"context"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"torikumi/failover/failover"
	"torikumi/pkg/config"
)

// TestProviders: each provider is whole, and an operator finds its name.
func TestProviders(t *testing.T) {
	field, _ := reflect.TypeFor[failover.Config]().FieldByName("Provider")
	help, setup := field.Tag.Get("help"), read(t, "../../docs/failover-setup.md")
	names := failover.ProviderNames()
	for _, name := range names {
		if lacks := failover.ProviderLacks(name); len(lacks) > 0 {
			t.Errorf("provider %s has no %v", name, lacks)
		}
		if !strings.Contains(help, name) {
			t.Errorf("the help of --provider has nothing of %s", name)
		}
		if !strings.Contains(setup, "--provider="+name) {
			t.Errorf("docs/failover-setup.md has nothing of --provider=%s", name)
		}
	}
	if slices.Sort(names); len(slices.Compact(names)) < len(names) {
		t.Errorf("two providers have one name: %v", names)
	}
}

func TestUnknownProvider(t *testing.T) {
	var c failover.Config
	config.Default(&c)
	c.Provider = "aws"
	_, err := failover.OpenProvider(context.Background(), &c, io.Discard)
	if err == nil || !strings.Contains(err.Error(), `must be gce or exec, got "aws"`) {
		t.Errorf("got %v", err)
	}
}
