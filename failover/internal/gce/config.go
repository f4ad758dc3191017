package gce

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"torikumi/pkg/config"
)

// Config is what the provider has to be told. A service embeds it (under an
// alias, for other providers' settings are named Config as well) and calls
// Check if this provider is the one that is used.
type Config struct {
	Project              string        `flag:"gce-project" help:"Google Cloud project that the VMs are made in."`
	Zones                []string      `flag:"gce-zones" help:"Zones that VMs may stand in, comma-separated, the preferred one first. A zone must stay listed until its last VM is gone."`
	ExternalIP           bool          `flag:"gce-external-ip" default:"true" help:"Give each VM an ephemeral external address, which players connect to."`
	NestedVirtualization bool          `flag:"gce-nested-virtualization" default:"true" help:"Let VMs run virtual VMs of their own, as Kata Containers does."`
	Spot                 bool          `flag:"gce-spot" default:"false" help:"Make spot VMs: cheaper, and Compute Engine may end them at any time, with the games on them. The next VM is then made as for any that is lost."`
	ShieldedVM           bool          `flag:"gce-shielded-vm" default:"false" help:"Turn on Secure Boot, vTPM and integrity monitoring. The image has to be one for UEFI, and its kernel modules signed."`
	MinCPUPlatform       string        `flag:"gce-min-cpu-platform" help:"Oldest CPU platform that VMs may run on, such as Intel Ice Lake; none: any that the zone has."`
	ServiceAccount       string        `flag:"gce-service-account" help:"Service account of the VMs (e-mail address). Without one they have no access to Google Cloud, which is enough to join a cluster."`
	HourlyCosts          []string      `flag:"gce-hourly-costs" help:"Prices of an hour for the metric cost_per_hour, instead of those in --machines: type=price, comma-separated, as in n2-standard-4=0.24. Budgets go by --machines."`
	Timeout              time.Duration `flag:"gce-timeout" default:"30s" help:"Longest time for one call of the provider, all of its requests together. The controller itself waits 30s at most, except for lists."`
	Endpoint             string        `flag:"gce-endpoint" help:"Address of the Compute Engine API, if it is not Google's."`
}

var (
	projectID = regexp.MustCompile(`^([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$`)
	zoneName  = regexp.MustCompile(`^[a-z]+-[a-z]+[0-9]+-[a-z]$`)
	// cloud.google.com/compute/docs/instances/specify-min-cpu-platform
	cpuPlatform = regexp.MustCompile(`^(Intel|AMD|Ampere|Google) [A-Z][A-Za-z0-9 ]*$`)
	resource    = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$`)
)

// Check joins everything that is wrong, by the names of the settings.
func (c *Config) Check() error {
	var errs []error
	wrong := func(flag, rule string, value any) { errs = append(errs, config.Invalid(flag, rule, value)) }
	switch {
	case c.Project == "":
		errs = append(errs, config.Missing("gce-project", "machines are made in it"))
	case !projectID.MatchString(c.Project):
		wrong("gce-project", "must be a project ID, not its number or display name", c.Project)
	}
	if len(c.Zones) == 0 {
		errs = append(errs, config.Missing("gce-zones", "machines are made in them"))
	}
	seen := make(map[string]bool)
	for _, z := range c.Zones {
		switch {
		case !zoneName.MatchString(z):
			wrong("gce-zones", `must be names of zones such as "europe-west3-a"`, z)
		case seen[z]:
			wrong("gce-zones", "must name each zone once", z)
		}
		seen[z] = true
	}
	if c.ServiceAccount != "" && !strings.Contains(c.ServiceAccount, "@") {
		wrong("gce-service-account", "must be an e-mail address", c.ServiceAccount)
	}
	if c.MinCPUPlatform != "" && !cpuPlatform.MatchString(c.MinCPUPlatform) {
		wrong("gce-min-cpu-platform", `must be a platform as Compute Engine names it, such as "Intel Ice Lake"`, c.MinCPUPlatform)
	}
	if c.Timeout <= 0 {
		wrong("gce-timeout", "must be above 0", c.Timeout)
	}
	if c.Endpoint != "" && !strings.HasPrefix(c.Endpoint, "https://") && !strings.HasPrefix(c.Endpoint, "http://") {
		wrong("gce-endpoint", "must begin with https:// or http://", c.Endpoint)
	}
	if _, err := c.costs(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// costs is HourlyCosts by machine type.
func (c *Config) costs() (map[string]float64, error) {
	costs := make(map[string]float64)
	var errs []error
	for _, entry := range c.HourlyCosts {
		machine, price, _ := strings.Cut(entry, "=")
		cost, err := strconv.ParseFloat(price, 64)
		if machine == "" || err != nil || !(cost >= 0) || math.IsInf(cost, 0) {
			errs = append(errs, config.Invalid("gce-hourly-costs", "must be type=price with a price of at least 0", entry))
			continue
		}
		if _, twice := costs[machine]; twice {
			errs = append(errs, config.Invalid("gce-hourly-costs", "must name each machine type once", fmt.Sprint(machine)))
		}
		costs[machine] = cost
	}
	return costs, errors.Join(errs...)
}

// CheckVMs joins what Compute Engine would refuse of every VM, by the
// names of the settings: labels and network tags that break its rules, and a
// longest life, the sum of three settings, that is over its limit.
func CheckVMs(labels map[string]string, tags []string, life time.Duration) error {
	var errs []error
	wrong := func(flag, rule string, value any) { errs = append(errs, config.Invalid(flag, rule, value)) }
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		if rule := labelRule(k, labels[k]); rule != "" {
			wrong("vm-labels", rule, k+"="+labels[k])
		}
	}
	if n := len(labels) + ownLabels; n > maxLabels {
		wrong("vm-labels", fmt.Sprintf("must be at most %d", maxLabels-ownLabels), len(labels))
	}
	for _, tag := range tags {
		if !resource.MatchString(tag) {
			wrong("vm-tags", tagRule, tag)
		}
	}
	if n := len(tags); n > maxTags {
		wrong("vm-tags", fmt.Sprintf("must be at most %d", maxTags), n)
	}
	if life > maxRunDuration {
		wrong("lifetime", fmt.Sprintf("must be at most %s together with --max-wait and --join-timeout, as Compute Engine ends VMs by itself", maxRunDuration), life)
	}
	return errors.Join(errs...)
}
