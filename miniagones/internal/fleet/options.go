package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"regexp"
	"time"

	"github.com/google/uuid"

	"torikumi/miniagones/internal/counts"
	"torikumi/miniagones/internal/label"
	"torikumi/miniagones/internal/state"
)

// Options describe a fleet. Name, Max and Backend have to be set; New refuses
// what makes no sense and never corrects it.
type Options struct {
	// Name of the fleet: a DNS label of at most 51 characters, as the names of
	// its servers begin with it.
	Name string
	// Namespace of the servers; "default" when empty.
	Namespace string
	// Ready is how many servers to keep Ready beside those in use; Max how
	// many there may be in all.
	Ready, Max int
	// Labels go on every server, as from a fleet's template.
	Labels map[string]string
	// Counts are the counters and lists of every server, as from a fleet's template.
	Counts counts.Set
	// Health counts signs of life. The zero value means Agones's defaults: each
	// 5 s, 3 failures, 5 s after the start. The SDK reports whole seconds,
	// rounded up.
	Health Health
	// Session is how long a server stays Allocated before it is shut down, for
	// backends whose servers can't say that they are done; zero: for ever.
	Session time.Duration
	Backend Backend
	// Env and Sidecar are the hooks of package miniagones. May be nil.
	Env     func(Spec) []string
	Sidecar func(ctx context.Context, spec Spec) (env []string, stop func(), err error)
	// Grace is how long a server's program may take to end by itself; 5 s
	// when zero.
	Grace time.Duration
	// BackoffMin and BackoffMax bound the pause after servers that failed;
	// 100 ms and 10 s when zero.
	BackoffMin, BackoffMax time.Duration
	// Logger gets changes of state at Info; slog.Default() when nil.
	Logger *slog.Logger
}

var dnsLabel = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)

func (o Options) withDefaults() Options {
	if o.Namespace == "" {
		o.Namespace = "default"
	}
	if o.Health == (Health{}) {
		o.Health = Health{Period: 5 * time.Second, FailureThreshold: 3, InitialDelay: 5 * time.Second}
	}
	orElse(&o.Grace, 5*time.Second)
	orElse(&o.BackoffMin, 100*time.Millisecond)
	orElse(&o.BackoffMax, 10*time.Second)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

func orElse(d *time.Duration, def time.Duration) {
	if *d == 0 {
		*d = def
	}
}

func (o *Options) validate() error {
	var errs []error
	if len(o.Name) > 51 || !dnsLabel.MatchString(o.Name) {
		errs = append(errs, fmt.Errorf("Name %q: must be 1 to 51 characters of [a-z0-9-], the first and the last alphanumeric", o.Name))
	}
	if len(o.Namespace) > 63 || !dnsLabel.MatchString(o.Namespace) {
		errs = append(errs, fmt.Errorf("Namespace %q: must be 1 to 63 characters of [a-z0-9-], the first and the last alphanumeric", o.Namespace))
	}
	if err := label.CheckLabels(o.Labels); err != nil {
		errs = append(errs, fmt.Errorf("Labels: %w", err))
	}
	if o.Backend == nil {
		errs = append(errs, errors.New("Backend: must be set"))
	}
	if o.Grace < 0 {
		errs = append(errs, errors.New("Grace: must not be negative"))
	}
	return errors.Join(errs...)
}

func (o *Options) config() state.Config {
	health := o.Health
	if o.Backend.Silent() {
		health = Health{Disabled: true}
	}
	set := o.Name + "-" + suffix()
	return state.Config{
		Name: o.Name, Namespace: o.Namespace,
		Ready: o.Ready, Max: o.Max,
		Labels:     o.Labels,
		Counts:     o.Counts,
		Health:     health,
		Session:    o.Session,
		BackoffMin: o.BackoffMin, BackoffMax: o.BackoffMax,
		NewName: func() string { return set + "-" + suffix() },
		NewUID:  uuid.NewString,
		Pick:    rand.IntN,
	}
}

// suffix returns 5 random characters of those that Kubernetes uses in names:
// no vowels, so that no words come out.
func suffix() string {
	const alphabet = "bcdfghjklmnpqrstvwxz2456789"
	b := make([]byte, 5)
	for i := range b {
		b[i] = alphabet[rand.IntN(len(alphabet))]
	}
	return string(b)
}
