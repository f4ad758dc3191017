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
		// One that wraps another is told which.
		setting := "--" + name + "-provider"
		for inner, valid := range map[string]bool{"gce": true, "aws": false, name: false} {
			err := load("--provider="+name, setting+"="+inner)
			if err != nil && strings.Contains(err.Error(), setting+": no such setting") {
				break
			}
			if named := err != nil && strings.Contains(err.Error(), setting+": "); named == valid {
				t.Errorf("%s=%s: %v; is the name valid: %v", setting, inner, err, valid)
			}
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
	want := "must be " + strings.Join(failover.ProviderNames(), " or ") + `, got "aws"`
	_, err := failover.OpenProvider(context.Background(), &c, io.Discard)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}
