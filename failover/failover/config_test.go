package failover_test

import (
	"io"
	"strings"
	"testing"

	"torikumi/failover/failover"
	"torikumi/pkg/config"
)

func load(args ...string) error {
	var c failover.Config
	base := []string{"--gce-project=studio-games", "--gce-zones=europe-west4-a", "--vm-image=projects/p/global/images/node"}
	return config.Load("failover", "FAILOVER_", &c, append(base, args...), func(string) string { return "" }, io.Discard)
}

func TestDefaultsAreValid(t *testing.T) {
	if err := load(); err != nil {
		t.Error(err)
	}
}

func TestValidate(t *testing.T) {
	for arg, want := range map[string]string{
		"--grace=0s":                 "--grace: must be positive",
		"--create-timeout=11m":       "--create-timeout: must be at most --join-timeout (10m0s)",
		"--tolerated-taints=a b":     "--tolerated-taints: must be keys of taints",
		"--return-timeout=0s":        "--return-timeout: must be positive",
		"--temp-taints=game":         "--temp-taints: must be key=value:Effect",
		"--temp-taints=game=a:Never": "--temp-taints: must be key=value:Effect",
		"--temp-taints=node.kubernetes.io/disk-pressure=:NoSchedule": "--temp-taints: must not be taints of kubernetes.io",
		"--drill-probe-runtime-class=Kata":                           "--drill-probe-runtime-class: must be the name of a RuntimeClass",
		"--drill-probe-image=a b":                                    "--drill-probe-image: must be an image, without spaces",
		"--gce-min-cpu-platform=fast":                                "--gce-min-cpu-platform: must be a platform",
		"--stability-max=30s":                                        "--stability-max: must be at least --stability (1m0s)",
		"--flap-window=0s":                                           "--flap-window: must be positive",
		"--lease-duration=10s":                                       "--lease-renew-deadline: must be shorter than --lease-duration (10s)",
		"--lease-renew-deadline=2s":                                  "--lease-retry-period: must be shorter than --lease-renew-deadline (2s) divided by 1.2",
		"--lease-retry-period=0s":                                    "--lease-retry-period: must be positive",
		"--kubelet-args=max-pods=60":                                 "--kubelet-args: must be flags, --name=value",
		"--kubelet-args=--a=\"b\"":                                   "--kubelet-args: must be flags, --name=value",
		"--taint-grace=10s":                                          "--taint-grace: must be 0, or at least --grace (30s)",
		"--taint-grace=-1s":                                          "--taint-grace: must be at least 0",
		"--ready-false-grace=0s":                                     "--ready-false-grace: must be positive",
		"--ready-false-starts-vm=perhaps":                            "--ready-false-starts-vm: must be",
		"--join-timeout=1h":                                          "--replace-lead: must be longer than --join-timeout (1h0m0s)",
		"--replace-lead=5m":                                          "--replace-lead: must be longer than --join-timeout",
		"--lifetime=30m":                                             "--lifetime: must be longer than --replace-lead",
		"--backoff-max=1s":                                           "--backoff-max: must be at least --backoff",
		"--max-vms=0":                                                "--max-vms: must be at least 1",
		"--max-servers-per-vm=0":                                     "--max-servers-per-vm: must be at least 1",
		"--storm-share=1.5":                                          "--storm-share: must be above 0 and at most 1",
		"--storm-share=NaN":                                          "--storm-share: must be above 0 and at most 1",
		"--fencing=Perhaps":                                          "--fencing: must be None, Manual or Webhook",
		"--fencing=Webhook":                                          "--fencing-url: must be an http or https URL",
		"--fencing-url=http://a":                                     "--fencing-url: must not be given unless",
		"--machines=":                                                "--machines: required",
		"--machines=n2-standard-4":                                   "--machines: must be type:cpu:memory",
		"--machines=b:8:8Gi,a:4:4Gi":                                 "--machines: must be sorted by size",
		"--temp-labels=":                                             "--temp-labels: required",
		"--watched-label=onpremise":                                  "--watched-label: must be key=value",
		"--vm-name-prefix=GCP-":                                      "--vm-name-prefix: must be",
		"--token-group=system:masters":                               "--token-group: must be system:bootstrappers: and",
		"--api-endpoint=10.0.0.1":                                    "--api-endpoint: must be host:port",
		"--node-ip=ten":                                              "--node-ip: must be an address or $(command)",
		"--join-hook=/does/not/exist":                                "--join-hook: must be a file that can be read",
		"--provider=aws":                                             "--provider: must be",
		"--provider=exec":                                            "--exec-program: required",
		"--gce-project=":                                             "--gce-project: required",
		"--vm-image=":                                                "--vm-image: required",
		"--namespace=":                                               "--namespace: required",
		"--http-listen=80":                                           "--http-listen: must be host:port",
		"--copy-labels=a b":                                          "--copy-labels: must be keys of labels",
		"--max-hourly-cost=-1":                                       "--max-hourly-cost: must be 0, or at least 0.001",
		"--max-hourly-cost=NaN":                                      "--max-hourly-cost: must be 0, or at least 0.001",
		"--max-hourly-cost=1e300":                                    "--max-hourly-cost: must be 0, or at least 0.001 and at most 1e9",
		"--max-hourly-cost=0.0001":                                   "--max-hourly-cost: must be 0, or at least 0.001", // would be no limit
		"--namespace=Bad_NS":                                         "--namespace: must be the name of a namespace",
		"--vm-disk-gb=65537":                                         "--vm-disk-gb: must be from 1 to 65536",
		"--lifetime=2880h":                                           "--lifetime: must be at most 2880h0m0s together with --max-wait and --join-timeout",
		"--vm-tags=Game":                                             "--vm-tags: must have at most 63 lower-case letters",
		"--vm-labels=studio=Kitsune":                                 "--vm-labels: must have at most 63 lower-case letters",
		"--vm-labels=managed-by=me":                                  "--vm-labels: must not be the controller's own",
		"--restore-labels=pool":                                      "--restore-labels: must be keys of labels of node-restriction.kubernetes.io/",
		"--restore-labels=node-restriction.kubernetes.io/a b":        "--restore-labels: must be keys of labels of node-restriction.kubernetes.io/",
		"--copy-labels=kubernetes.io/os":                             "--copy-labels: must be labels that a kubelet may set",
		"--temp-labels=a=b,k8s.io/x=y":                               `--temp-labels: must be labels that a kubelet may set: of kubernetes.io and k8s.io only node.kubernetes.io/… and kubelet.kubernetes.io/…, got "k8s.io/x"`,
	} {
		if err := load(arg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", arg, err, want)
		}
	}
	if err := load("--max-hourly-cost=1", "--machines=a:1:1Gi"); err == nil || !strings.Contains(err.Error(), "must have prices") {
		t.Errorf("a limit of cost without prices: %v", err)
	}
	if err := load("--watched-label=a=b", "--temp-labels=a=b,c=d"); err == nil || !strings.Contains(err.Error(), "--temp-labels: must not make temporary Nodes watched ones") {
		t.Errorf("temporary Nodes are watched: %v", err)
	}
	for _, args := range [][]string{
		{"--join-timeout=40m"},
		{"--vm-labels=studio=kitsune,a_b=", "--vm-tags=a,b-c", "--copy-labels=node.kubernetes.io/instance-type", "--temp-labels=kubelet.kubernetes.io/x=y"},
		// Other clouds have other rules.
		{"--provider=exec", "--exec-program=/bin/sh", "--vm-labels=Studio=Kitsune", "--vm-tags=Game", "--lifetime=9000h"},
	} {
		if err := load(args...); err != nil {
			t.Errorf("%s: %v", args, err)
		}
	}
	err := load("--grace=0s", "--max-vms=0", "--fencing=x")
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("not all at once: %v", err)
	}
}

// A budget is as large as it was given: binary fractions lose no thousandth.
func TestBudgetIsRounded(t *testing.T) {
	for given, want := range map[float64]int64{0: 0, 2.01: 2010, 0.29: 290, 1.005: 1005, 0.001: 1} {
		var c failover.Config
		config.Default(&c)
		c.MaxHourlyCost = given
		if got := c.MilliBudget(); got != want {
			t.Errorf("%v is %d thousandths, want %d", given, got, want)
		}
	}
}
