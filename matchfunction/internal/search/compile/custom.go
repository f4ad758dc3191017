package compile

import (
	"errors"
	"fmt"
	"strings"

	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// Panic is what a custom rule panicked with.
type Panic struct{ Value any }

func (p *Panic) Error() string { return fmt.Sprintf("panic: %v", p.Value) }

type custom struct{ unaided }

func (custom) compile(c *checks, k *check) (err error) {
	k.slow = true
	k.broken, k.pairwise, err = c.custom(k.rule)
	return err
}

// custom makes a rule written in Go, or one of a module. Others wrote it: whatever it panics with
// ends here, and then the match, or the meeting of two tickets, is not allowed.
func (c *checks) custom(r *ruleset.Rule) (broken func(*Match) float64, apart func(a, b *rule.Ticket) bool, err error) {
	made, property, err := c.options.make(r)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", property, err)
	}
	failed := c.failed(r)
	broken = func(m *Match) (by float64) {
		match := m.ruleMatch()
		defer recovered(&by, 1, failed)
		err := made.Allows(match)
		if err == nil {
			return 0
		}
		m.refusal = err
		if failure := (*rule.Failure)(nil); errors.As(err, &failure) {
			failed(err)
		}
		return 1
	}
	pairwise, ok := made.(rule.Pairwise)
	if !ok {
		return broken, nil, nil
	}
	return broken, func(a, b *rule.Ticket) (apart bool) {
		defer recovered(&apart, true, failed)
		return pairwise.Apart(a, b)
	}, nil
}

// recovered is deferred by what may panic, and gives it a result.
func recovered[T any](result *T, broken T, failed func(error)) {
	if p := recover(); p != nil {
		*result = broken
		failed(&Panic{p})
	}
}

// CheckCustom says what is wrong with a custom rule, as ruleset.Checks wants
// it.
func (o *Options) CheckCustom(r *ruleset.Rule) (property, message string) {
	if _, property, err := o.make(r); err != nil {
		return property, err.Error()
	}
	return "", ""
}

// make makes a custom rule, or says which of its properties is wrong.
func (o *Options) make(r *ruleset.Rule) (made rule.Rule, property string, err error) {
	factory, err := o.Factory(r.CustomRule)
	if err != nil {
		return nil, "rule", err
	}
	made, err = makeRule(factory, r)
	return made, "parameters", err
}

// IsModule reports whether a custom rule of this name is a WebAssembly module,
// unless the registry has it.
func IsModule(name string) bool { return strings.HasSuffix(name, ".wasm") }

// Factory finds the custom rule of a name.
func (o *Options) Factory(name string) (rule.Factory, error) {
	if factory, ok := o.Custom[name]; ok {
		return factory, nil
	}
	if !IsModule(name) {
		return nil, fmt.Errorf("this match function has no custom rule %q", name)
	}
	if o.Module == nil {
		return nil, fmt.Errorf("this match function has no folder of modules (--rule-modules), and so no %q", name)
	}
	return o.Module(name)
}

func makeRule(factory rule.Factory, r *ruleset.Rule) (made rule.Rule, err error) {
	defer func() {
		if p := recover(); p != nil {
			made, err = nil, &Panic{p}
		}
	}()
	made, err = factory(r.Parameters)
	if err == nil && made == nil {
		err = errors.New("the factory made no rule")
	}
	return made, err
}

// failed is Options.Failed for one rule.
func (c *checks) failed(r *ruleset.Rule) func(error) {
	observe := c.options.Failed
	if observe == nil {
		return func(error) {}
	}
	return func(err error) { observe(r, err) }
}
